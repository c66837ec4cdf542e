"""Starts `measurements` as `python benchmarks/accuracy`."""

from measurements import main

main()
