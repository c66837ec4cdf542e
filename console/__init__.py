"""The `sparkdl` command."""
