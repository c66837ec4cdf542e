"""Saved models: the registry of versions, and the allowlist of their content."""
