"""Run a command where runs take place: on this host if it qualifies, else in the sandbox; end with its status.

`--place` runs nothing, and prints `host` or `sandbox`. `--jobs` runs nothing, and prints how many such commands may
run side by side: each sandbox is a machine of its own, but on a host they would see each other's pods.
`--without-docker`, before the command: a sandbox needs no Docker engine for it, and tests know by $EMU_TEST_DOCKER.
"""

import os
import subprocess
import sys

import psutil

from emu.doctor.facts import gather_facts
from emu.doctor.requirements import choose_where
from emu.errors import EmuError
from emu.machine.paths import own_cache_dir
from emu.sandbox.uml import guest

MOST = 4
"""More would not end sooner on two processors, which four keep busy: a guest waits for half of its time."""
MEMORY_EACH = 4 << 30
"""Of a sandbox with its 3 GiB, and of what is around it."""


def say(text: str) -> None:
    """For people, not for programs."""
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Choose, say so, run."""
    try:
        if os.environ.get("EMU_ON") == "vm":
            raise EmuError("EMU_ON=vm is not for tests", "their virtual machine is another one", "make test-systemd")
        place = choose_where(gather_facts(), os.environ.get("EMU_ON"))
        if argv == ["--place"]:
            print(place)
            return 0
        if argv == ["--jobs"]:
            print(1 if place == "host" else max(1, min(MOST, psutil.virtual_memory().available // MEMORY_EACH)))
            return 0
        with_docker = argv[0] != "--without-docker"
        argv = argv if with_docker else argv[1:]
        if place == "host":
            say("on this host")
            return subprocess.call(argv)
        # The images are in the cache, and $XDG_CACHE_HOME may be where a guest has its own files (/tmp).
        env = {**os.environ, "EMU_TEST_DOCKER": "yes" if with_docker else "none"}
        return guest.run(guest.Guest(say=say, shares=[own_cache_dir()], docker=with_docker), argv, env=env)
    except EmuError as wrong:
        say(f"{argv[0]}: {wrong}")
        return wrong.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
