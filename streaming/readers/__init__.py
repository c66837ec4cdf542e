"""Readers of what a sink holds; none starts Spark."""
