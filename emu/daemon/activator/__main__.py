"""`python -m emu.daemon.activator`."""

import sys

from emu.daemon.activator.main import main

sys.exit(main())
