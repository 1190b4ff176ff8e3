"""`python -m emu.daemon.queue_proxy`."""

import os
import sys

from emu.daemon.queue_proxy.main import main

sys.exit(main(os.environ))
