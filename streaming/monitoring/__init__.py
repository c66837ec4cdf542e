"""Monitoring of a stream: log, metrics, and health over HTTP."""
