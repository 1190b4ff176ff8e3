"""`emu calibrate queue-proxy --image`: a real container is measured, and the profile that comes of it is used."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from emu.files.profiles import read_profile
from emu.run.machine import where
from emu.runtime import images
from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S, EMU, leftovers
from tests.scenario.test_scenarios import EmuRun

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="daemons")]
FOREIGN = "somebody/queue:v1"
ENDS = ("--", "/usr/bin/python3", "-c", "raise SystemExit('no configuration')")


def calibrate(*words: str) -> subprocess.CompletedProcess[str]:
    """As a user calls it."""
    return subprocess.run(
        [*EMU, "calibrate", "queue-proxy", *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.fixture(scope="module")
def profile_file(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of an image that stands for somebody else's: ours, under another name."""
    engine.tag(images.QUEUE_PROXY, FOREIGN)
    path = tmp_path_factory.mktemp("calibrate") / "foreign.yaml"
    done = calibrate("--image", FOREIGN, "--name", "foreign", "--counts", "300", "--settle", "1", "--out", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path)
    return path


def test_an_image_is_measured_in_a_container(engine: Engine, profile_file: Path) -> None:
    """What our queue-proxy weighs: some megabytes idle, some kilobytes for a request, fewer for one that waits."""
    profile = read_profile(profile_file)
    assert profile.name == "foreign"
    assert FOREIGN in profile.source
    assert 4 << 20 <= profile.idle_anon_bytes <= 40 << 20
    assert [count for count, _ in profile.request_bytes] == [300]
    assert 1000 <= profile.request_bytes[0][1] <= 40_000
    assert profile.executable_bytes > 1 << 20
    assert profile.waiting_bytes > 0
    assert (profile.code_bytes == 0) == (where() == "sandbox:uml"), "User-Mode Linux cannot see which pages are used"
    assert leftovers(engine) == []


def test_the_profile_can_be_run(emu_run: EmuRun, profile_file: Path) -> None:
    """`footprint: FILE` in a scenario; so light a queue-proxy lives through what kills Knative's."""
    until = "load.phases.steady.until={inFlight: 600, oomKills: 1, container: queue-proxy}"
    half = ("pod.queueProxy.resources.limits.memory=32Mi", until)  # Knative's own is killed by some 500
    done = emu_run("queue-proxy-oom", "pod.runtime=process", f"pod.queueProxy.footprint={profile_file}", *half)
    assert done.summary["requests"]["in_flight_peak"] >= 550
    assert done.summary["containers"]["queue-proxy"]["oom_kills"] == 0
    log = done.run.container_logs("queue-proxy")[0].read_text()
    reported = [json.loads(line) for line in log.splitlines() if '"footprint"' in line]
    assert reported[0]["profile"] == "foreign"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--image", "nobody/has:this"), "the engine has no image nobody/has:this"),
        (("--image", images.QUEUE_PROXY, *ENDS), "no configuration"),
    ],
    ids=["no such image", "a container that ends"],
)
def test_what_cannot_be_measured_is_reported_at_once(engine: Engine, words: tuple[str, ...], said: str) -> None:
    """With what it printed, and nothing left behind."""
    done = calibrate(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert leftovers(engine) == []
