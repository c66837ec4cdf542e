"""Decoding of pictures of each format to pixels."""
