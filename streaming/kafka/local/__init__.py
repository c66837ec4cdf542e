"""A Kafka broker on this machine, from Maven jars."""
