"""`python -m emu.daemon.app`."""

import os
import sys

from emu.daemon.app.main import main

sys.exit(main(sys.argv[1:], os.environ))
