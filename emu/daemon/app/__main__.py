"""`python -m emu.daemon.app`."""

import gc
import os
import sys

gc.disable()  # what is imported stays: looking for garbage among it is a twentieth of the start. The loop enables it.

from emu.daemon.app.main import main  # noqa: E402  after that

sys.exit(main(sys.argv[1:], os.environ))
