"""What the programs in containers import at their start: two start with each pod, on one CPU in the sandbox."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.daemon.daemon_wire import ROOT

FOR_FEW = {"argparse", "html", "random", "tempfile", "shutil", "h2", "hpack", "emu.daemon.queue_proxy.gotemplate"}
"""What only some pods need, or some requests."""
DEAR = {"dataclasses", "pathlib", "urllib.parse"}
"""What queue-proxy, unlike the app, does without until a request, a probe or a certificate needs it."""


@pytest.mark.parametrize(("program", "left_out"), [("app", FOR_FEW), ("queue_proxy", FOR_FEW | DEAR)])
def test_a_pod_that_nothing_special_is_asked_of_imports_nothing_special(program: str, left_out: set[str]) -> None:
    """Templates of request logs, HTTP/2 and options of the command line are imported by whoever needs them."""
    words = f"import sys; sys.path += {sys.path}; import emu.daemon.{program}.main; print(*sys.modules)"
    argv = [sys.executable, "-S", "-c", words]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(said.split()) & left_out == set()
