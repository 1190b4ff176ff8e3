"""`python -m emu`: the same as `emu`."""

from emu.cli.main import main

main()
