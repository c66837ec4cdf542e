"""Readers of sinks; none needs Spark."""
