"""A running stream: its supervisor, and what that decides by."""
