"""Sinks: results to Parquet, Delta, Kafka or the console."""
