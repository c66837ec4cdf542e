"""Encoded bytes to pixels, in a process of its own."""
