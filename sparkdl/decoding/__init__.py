"""Decoding of encoded bytes to pixels, in a separate process."""
