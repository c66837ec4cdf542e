"""The decoder process of each worker, and its sandbox."""
