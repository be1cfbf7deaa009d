"""`python -m ecoload`."""

from ecoload.cli import main

main()
