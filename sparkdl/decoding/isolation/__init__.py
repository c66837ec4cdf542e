"""The decoder process beside each worker, and what it may do."""
