"""`python -m tune_diffreg`."""

from tune_diffreg.cli import main

main()
