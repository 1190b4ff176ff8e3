"""`emu freezer`: the daemon that pauses and resumes pods, as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from emu.messages import FREEZER_METHODS, FREEZER_MODES, FREEZER_PORT, OWN_MODE
from emu.policy.prefetching import NONE


@click.command()
@click.option(
    "--pods",
    type=click.Path(path_type=Path),
    required=True,
    help="The file that lists the pods, their tokens and containers; read again when it changes.",
)
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDRESS",
    default=[f"127.0.0.1:{FREEZER_PORT}"],
    show_default=True,
    help="HOST:PORT or unix:PATH; repeatable.",
)
@click.option(
    "--method",
    type=click.Choice(FREEZER_METHODS),
    default="docker",
    show_default=True,
    help="The engine's pause and unpause, or cgroup.freeze written directly.",
)
@click.option(
    "--mode",
    type=click.Choice(FREEZER_MODES),
    default=OWN_MODE,
    show_default=True,
    help="knative also answers 200 after a failure, as the original did.",
)
@click.option(
    "--reclaim",
    "steps",
    multiple=True,
    metavar="AMOUNT[@SECONDS]",
    help="Reclaim all, a size or a share (50%) of a frozen container's memory, that long after its pause.",
)
@click.option(
    "--prefetch",
    default=NONE,
    show_default=True,
    metavar="AMOUNT|touched|none",
    help="Before a resume, read back from swap what the last wake touched, or more: all, a size or a share.",
)
@click.option(
    "--events", type=click.Path(path_type=Path), help="Append an event for each action to this events.jsonl."
)
@click.option("--run", "run_id", default="", help="The run id for the journal's lines (EMU_RUN).")
@click.option("--follow-stdin", is_flag=True, hidden=True, help="Exit when standard input is closed.")
def freezer(
    pods: Path,
    listen: tuple[str, ...],
    method: str,
    mode: str,
    steps: tuple[str, ...],
    prefetch: str,
    events: Path | None,
    run_id: str,
    follow_stdin: bool,
) -> None:
    """Pause and resume pods for clients that present their token, like Knative's container-freezer.

    A POST with the header Token and the body {"action": "pause"} or {"action": "resume"} is answered 200 once the
    kernel has confirmed it, 400, 403 or 404 if the request is invalid, 500 if it failed. GET /status returns what the
    kernel reports as frozen, GET /metrics serves Prometheus metrics.

    \b
    Examples:
      emu freezer --pods pods.json
      emu freezer --pods pods.json --listen unix:/run/freezer.sock --method cgroup
      emu freezer --pods pods.json --reclaim 25%@5 --reclaim all@60 --prefetch touched
    """
    from emu.daemon import loop
    from emu.daemon.freezer import main as daemon
    from emu.daemon.freezer.methods import CgroupMethod, DockerMethod
    from emu.daemon.freezer.pods import Pods
    from emu.daemon.freezer.prefetcher import made_prefetcher
    from emu.daemon.freezer.reclaimer import read_step
    from emu.machine.journald import Journald
    from emu.record.events import EventLog
    from emu.runtime.docker import Engine

    wanted = [read_step(step) for step in steps]
    prefetcher = made_prefetcher(prefetch, reclaims=bool(wanted))
    known = Pods(pods)
    known.all()
    if method == "docker":
        engine = Engine()
        engine.connect()
    log = loop.Log("freezer")
    made = daemon.Freezer(
        known,
        DockerMethod(engine) if method == "docker" else CgroupMethod(),
        mode=mode,
        steps=wanted,
        prefetcher=prefetcher,
        events=EventLog(events) if events is not None else None,
        log=log,
        journal=Journald("emu-freezer"),
        run=run_id,
    )
    sys.exit(loop.run(lambda: daemon.serve(made, listen, log, follow_stdin=follow_stdin)))
