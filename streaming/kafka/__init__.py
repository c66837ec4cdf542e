"""Kafka clients: addresses, settings, messages, administration."""
