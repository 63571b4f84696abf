"""``python -m stream.cli``: the same as the ``riskstream`` command."""

from stream.cli import main

main()
