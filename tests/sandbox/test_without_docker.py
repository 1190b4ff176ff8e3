"""A guest without a Docker engine, and a scenario that needs none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from emu.runtime import images
from emu.sandbox.uml.guest import Guest
from tests.sandbox.conftest import Shared

ROOT = Path(__file__).resolve().parents[2]
RUN_DEADLINE_S = 900


def test_a_pod_runs_where_no_engine_does(cache: Path, tmp_path: Path) -> None:
    """No engine is started, the image disk is there all the same; the run in it ends as the scenario expects, and the
    guest's end leaves a disk that the next one takes.
    """
    images.prepare()
    out = tmp_path / "run"
    words = [
        sys.executable,
        "-m",
        "emu",
        "run",
        "app-oom",
        "--set",
        "pod.runtime=process",
        "--out",
        str(out),
        "--json",
    ]
    ended = subprocess.run(
        [*words, "--on", "sandbox"], cwd=ROOT, capture_output=True, text=True, timeout=RUN_DEADLINE_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["machine"]["runtime"] == "process"
    assert (summary["where"], summary["machine"]["docker"]) == ("sandbox:uml", None)
    said: list[str] = []
    with Guest(memory_bytes=2**30, docker=False, say=said.append) as guest:
        box = Shared(guest, said, tmp_path)
        assert box.sh("pgrep dockerd || ls /run/docker.sock").status != 0
        assert "clean" in box.sh("cat /run/emu/e2fsck.log").out.decode()
        assert box.sh("ls /var/lib/emu/roots").out.count(b"base-") == 1
        assert box.sh("ls /var/lib/emu/runs").status != 0
    assert "Docker" not in said[-1] and "ready" in said[-1]
