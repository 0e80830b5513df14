"""``python -m qisguard.cli`` is ``qisguard``."""

from qisguard.cli.main import main

main()
