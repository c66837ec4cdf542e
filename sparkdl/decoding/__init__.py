"""Encoded bytes to pixels, in a separate process."""
