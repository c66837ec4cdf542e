"""Checks of `sparkdl doctor`."""
