"""`python -m emu.daemon.load`."""

import sys

from emu.daemon.load.main import main

sys.exit(main(sys.argv[1:]))
