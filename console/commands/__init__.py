"""The sub-commands of `sparkdl`."""
