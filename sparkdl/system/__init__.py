"""Files, caches, terminals and processes."""
