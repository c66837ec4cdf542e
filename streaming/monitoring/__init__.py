"""What a stream reports: log, metrics, health over HTTP."""
