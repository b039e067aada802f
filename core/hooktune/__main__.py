"""`python -m hooktune`."""

from hooktune.terminal import main

main()
