"""``python -m bakeoff.cli``."""

from bakeoff.cli.main import main

main()
