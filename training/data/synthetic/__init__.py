"""Synthetic handwritten digits."""
