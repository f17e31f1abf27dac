"""``python -m opsrunner``."""

from opsrunner.cli.main import main

main()
