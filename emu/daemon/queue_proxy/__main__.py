"""`python -m emu.daemon.queue_proxy`."""

import gc
import os
import sys

gc.disable()  # what is imported stays: looking for garbage among it is a twentieth of the start. The loop enables it.

from emu.daemon.queue_proxy.main import main  # noqa: E402  after that

sys.exit(main(os.environ))
