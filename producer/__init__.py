"""Replays labelled images at a set rate."""
