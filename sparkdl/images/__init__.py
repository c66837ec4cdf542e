"""Images as values: Spark's image rows, pixels, ink, and why an image is rejected."""
