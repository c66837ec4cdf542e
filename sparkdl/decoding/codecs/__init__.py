"""Pictures of each format to pixels."""
