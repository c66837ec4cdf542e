"""Replay of labelled images at a set rate."""
