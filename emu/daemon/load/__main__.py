"""`python -m emu.daemon.load`."""

import os
import sys

if "--held" in sys.argv and os.geteuid() == 0:
    os.nice(19)  # the pods come up beside it, and are measured: until its plan is there it takes what they leave

from emu.daemon.load.main import main

sys.exit(main(sys.argv[1:]))
