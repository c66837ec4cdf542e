"""Keras files from any source: checked without Keras, converted and trained in separate processes."""
