"""Supervision of a running stream: queries, retries, batch sizing and model updates."""
