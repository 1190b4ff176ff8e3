"""Builds our container images in the guest's Docker, from what the host prepared; run by the guest."""

from __future__ import annotations

import sys

from emu.runtime import images
from emu.runtime.docker import Engine


def main() -> None:
    """Each image that Docker lacks or has from older sources; a line on standard error for each."""

    def say(text: str) -> None:
        sys.stderr.write(f"guest: {text}\n")

    engine = Engine()
    engine.connect()
    images.ensure(engine, images.prepare(say), say)


if __name__ == "__main__":
    main()
