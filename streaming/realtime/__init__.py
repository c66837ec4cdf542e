"""Real-time mode: images from Kafka to Kafka in milliseconds, classified by long-lived processes."""
