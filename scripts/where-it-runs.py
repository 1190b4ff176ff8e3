"""Run a command where runs take place: on this host if it qualifies, else in the sandbox; end with its status."""

import os
import subprocess
import sys

from emu.errors import EmuError
from emu.host import gather_facts
from emu.requirements import choose_where
from emu.sandbox import uml


def say(text: str) -> None:
    """Tell people, not programs."""
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Choose, say so, run."""
    try:
        place = choose_where(gather_facts(), os.environ.get("EMU_ON"))
        if place == "host":
            say("on this host")
            return subprocess.call(argv)
        return uml.run(argv, say=say)
    except EmuError as wrong:
        say(f"{argv[0]}: {wrong}")
        return wrong.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
