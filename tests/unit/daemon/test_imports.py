"""What the programs in containers import at their start: two start with each pod, on one CPU in the sandbox."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.daemon.daemon_wire import ROOT

FOR_FEW = {"argparse", "html", "random", "tempfile", "shutil", "h2", "hpack", "emu.daemon.queue_proxy.gotemplate"}
"""What only some pods need, or some requests."""


@pytest.mark.parametrize("program", ["app", "queue_proxy"])
def test_a_pod_that_nothing_special_is_asked_of_imports_nothing_special(program: str) -> None:
    """Templates of request logs, HTTP/2 and options of the command line are imported by whoever needs them."""
    words = f"import sys, emu.daemon.{program}.main; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(said.split()) & FOR_FEW == set()
