"""Sidecars and footprints in a scenario: read, checked, started as the others, and part of the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.files import profiles
from emu.messages import HOLD_VARIABLE, START_VARIABLE
from emu.policy.footprint import Profile
from emu.scenario.reading import read_scenario, resolve
from emu.serving.template import queue_proxy_environment, sidecar_environment

SCENARIO = """
name: pod-of-three
question: Who is in it?
pod:
  queueProxy:
    footprint: {footprint}
  sidecars:
    - name: istio-proxy
      image: mesh/proxy:1
      port: {port}
      resources:
        limits:
          memory: 128Mi
    - name: agent
"""


def test_containers_are_started_in_order() -> None:
    """queue-proxy, the app that it probes, then the rest."""
    spec = read_scenario(SCENARIO.format(footprint="own", port=15021), "it")
    assert list(spec.pod.containers) == ["queue-proxy", "app", "istio-proxy", "agent"]
    assert spec.pod.containers["istio-proxy"].resources.limits.memory == 128 * 2**20


def test_an_expectation_may_name_a_sidecar() -> None:
    """… and one that is not there is still an error."""
    text = SCENARIO.format(footprint="own", port=15021)
    read_scenario(f"{text}expect:\n  containers.agent.oom_kills: '== 0'\n", "it")
    with pytest.raises(EmuError, match="agnet"):
        read_scenario(f"{text}expect:\n  containers.agnet.oom_kills: '== 0'\n", "it")


@pytest.mark.parametrize(("port", "who"), [(8080, "the app"), (8012, "queue-proxy"), (9090, "queue-proxy")])
def test_a_port_of_the_pod_is_taken_once(port: int, who: str) -> None:
    """Containers of a pod share one network."""
    with pytest.raises(EmuError, match=f"port {port} is taken") as error:
        read_scenario(SCENARIO.format(footprint="own", port=port), "it")
    assert who in error.value.why


@pytest.mark.parametrize("name", ["app", "queue-proxy", "sandbox", "pod"])
def test_a_sidecar_has_a_name_of_its_own(name: str) -> None:
    """Results call other things these."""
    text = SCENARIO.format(footprint="own", port=15021).replace("name: agent", f"name: {name}")
    with pytest.raises(EmuError, match=f"cannot be called '{name}'"):
        read_scenario(text, "it")


def test_a_sidecar_without_an_image_is_a_stand_in() -> None:
    """Its environment says where to listen, how long to take and what to hold; a user's program only gets the port.

    Without a port of its own it is to listen nowhere, whatever PORT its image sets: the app has that.
    """
    text = SCENARIO.format(footprint="own", port=15021).replace(
        "name: agent", "name: agent\n      hold: 40Mi\n      start: 2s"
    )
    spec = read_scenario(text, "it")
    mesh, agent = spec.pod.sidecars
    assert sidecar_environment(mesh) == {"PORT": "15021"}
    assert sidecar_environment(agent) == {"PORT": "", HOLD_VARIABLE: str(40 << 20), START_VARIABLE: "2.0"}
    assert read_scenario(resolve(spec), "again").pod.sidecars == spec.pod.sidecars


@pytest.mark.parametrize("key", ["hold: 40Mi", "start: 2s"])
def test_only_the_stand_in_can_be_configured(key: str) -> None:
    """An image does what it does."""
    text = SCENARIO.format(footprint="own", port=15021).replace(
        "image: mesh/proxy:1", f"image: mesh/proxy:1\n      {key}"
    )
    with pytest.raises(EmuError, match="applies only to the stand-in"):
        read_scenario(text, "it")


def test_a_footprint_by_name_stays_a_name() -> None:
    """The profiles that come with emu are known by theirs; the error for an unknown one lists them."""
    spec = read_scenario(SCENARIO.format(footprint="knative-1.23", port=15021), "it")
    assert spec.pod.queue_proxy.footprint == "knative-1.23"
    assert "knative-1.23" in profiles.names()
    with pytest.raises(EmuError, match=r"knative-1\.24") as error:
        read_scenario(SCENARIO.format(footprint="knative-1.24", port=15021), "it")
    assert "knative-1.23" in error.value.fix


def test_a_footprint_from_a_file_becomes_part_of_the_scenario(tmp_path: Path) -> None:
    """Beside the scenario or where the command was given; the record of a run needs no other file."""
    mine = profiles.load_profile("knative-1.23").to_data() | {"name": "mine"}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    spec = read_scenario(SCENARIO.format(footprint="mine.json", port=15021), str(tmp_path / "it.yaml"))
    again = read_scenario(resolve(spec), "again")
    assert isinstance(again.pod.queue_proxy.footprint, dict)
    assert Profile.from_data(again.pod.queue_proxy.footprint).name == "mine"


def test_a_footprint_is_for_our_own_queue_proxy() -> None:
    """Another image weighs what it weighs."""
    text = SCENARIO.format(footprint="knative-1.23\n    image: knative/queue:1", port=15021)
    with pytest.raises(EmuError, match="does not apply to your own queue-proxy"):
        read_scenario(text, "it")


def test_a_queue_proxy_of_ones_own_gets_all_that_it_needs() -> None:
    """Every variable without which Knative's own ends at once, and a probe that it can read."""
    env = queue_proxy_environment(10, 8080, "10.0.0.2", "app-00001-deployment-0")
    required = {
        "CONTAINER_CONCURRENCY", "QUEUE_SERVING_PORT", "QUEUE_SERVING_TLS_PORT", "USER_PORT",
        "REVISION_TIMEOUT_SECONDS", "SERVING_LOGGING_CONFIG", "SERVING_LOGGING_LEVEL", "SERVING_NAMESPACE",
        "SERVING_CONFIGURATION", "SERVING_REVISION", "SERVING_POD", "SERVING_POD_IP",
    }  # fmt: skip
    assert required <= env.keys()
    assert json.loads(env["SERVING_READINESS_PROBE"])["tcpSocket"]["port"] == 8080
    assert all(isinstance(value, str) for value in env.values())
