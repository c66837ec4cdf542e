"""Checkpoints: identity, lock and repair."""
