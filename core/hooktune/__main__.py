"""`python -m hooktune`."""

from hooktune.cli import main

main()
