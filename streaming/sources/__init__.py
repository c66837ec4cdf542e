"""Sources: input records from a directory or a Kafka topic."""
