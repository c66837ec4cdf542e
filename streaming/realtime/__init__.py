"""Real-time mode: images from Kafka to Kafka in milliseconds, scored by long-lived processes."""
