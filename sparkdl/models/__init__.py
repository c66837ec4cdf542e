"""Saved models: the registry of versions, and what a version may hold."""
