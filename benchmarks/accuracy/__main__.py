"""Entry point of `measurements`: `python benchmarks/accuracy`."""

from measurements import main

main()
