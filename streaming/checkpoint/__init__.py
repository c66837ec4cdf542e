"""What belongs to a checkpoint: its identity, and its repair."""
