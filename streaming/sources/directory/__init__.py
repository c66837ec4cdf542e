"""A watched directory as a streaming source."""
