"""Streaming classification: images from a source, results to a sink."""
