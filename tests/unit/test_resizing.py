"""In-place resizes: what a scenario may ask for, and what is written for it."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.policy.kubelet.actuation import control_files
from emu.scenario.reading import read_scenario

HEAD = """
name: a
question: b
node: {kubernetes: "%s"}
pods:
  - name: web
    containers:
      - {name: app, port: 8080, resources: {requests: {memory: 32Mi}, limits: {memory: 64Mi}}}
      - {name: open, port: 8081}
load:
  phases:
    - {name: first, type: pause, duration: 1s, resize: {container: app, resources: {limits: {memory: 96Mi}}}}
    - {name: second, type: pause, duration: 1s, resize: {container: %s, resources: {%s}}}
"""


def second(container: str, resources: str, version: str = "1.36") -> str:
    """What is said of a second resize, after one to 96 MiB; empty where it is taken."""
    try:
        read_scenario(HEAD % (version, container, resources), "f.yaml")
    except EmuError as error:
        return str(error)
    return ""


def test_a_resize_is_of_what_the_one_before_left() -> None:
    """A request of 80 MiB fits under the limit of the first resize; what is not named stays."""
    assert second("app", "requests: {memory: 80Mi}") == ""
    assert second("app", "limits: {memory: 16Mi}, requests: {memory: 8Mi}") == ""


@pytest.mark.parametrize(
    ("container", "resources", "version", "said"),
    [
        ("app", "requests: {memory: 128Mi}", "1.36", "leaves a request above its limit"),
        ("ape", "limits: {memory: 64Mi}", "1.36", "no container 'ape' to resize"),
        ("app", "limits: {memory: 64Mi}", "1.32", "does not resize pods in place"),
        ("app", "limits: {memory: 64Mi}", "1.33", "memory limits cannot be decreased unless resizePolicy is"),
    ],
)
def test_what_the_api_server_refuses_is_an_error(container: str, resources: str, version: str, said: str) -> None:
    """In its words where it has some; nothing is started."""
    assert said in second(container, resources, version)


def test_the_class_of_a_pod_may_not_change() -> None:
    """A Guaranteed pod stays one."""
    text = """
name: a
question: b
pods: [{name: web, containers: [{name: app, port: 8080, resources: {limits: {memory: 64Mi, cpu: "1"}}}]}]
load:
  phases:
    - {name: one, type: pause, duration: 1s, resize: {container: app, resources: {requests: {memory: 32Mi}}}}
"""
    with pytest.raises(EmuError, match="Pod QOS Class may not change as a result of resizing"):
        read_scenario(text, "f.yaml")


def test_a_write_s_control_files() -> None:
    """memory.max, cpu.max and cpu.weight; a quota of none is no limit, and oom_score_adj is no file."""
    write = {"container": "app", "cpu_shares": 1024, "cpu_quota": -1, "oom_score_adj": 900, "memory_max": 96 << 20}
    assert control_files(write) == {"memory.max": "100663296", "cpu.max": "max 100000", "cpu.weight": "39"}
    assert control_files({"pod": True, "cpu_quota": 50000}) == {"cpu.max": "50000 100000"}
