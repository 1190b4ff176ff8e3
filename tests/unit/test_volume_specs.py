"""Init containers and volumes in a scenario: what is wrong with them is one error with its place."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.kubelet.template import EmptyDir, Mount
from emu.messages import WORK_VARIABLE
from emu.messages.work import Work
from emu.policy.kubelet.objectfiles import Content, contents
from emu.scenario.capacity import lacking
from emu.scenario.reading import read_scenario, resolve
from emu.serving.template import pod_template

MIB = 2**20
GOOD = """
name: good
question: What?
pod:
  volumes:
    - {name: models, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
    - {name: cache}
  initContainers:
    - {name: mesh, restartPolicy: Always, port: 15021, hold: 1Mi, startupProbe: {tcpSocket: {}}}
    - {name: fetch, do: {writeFile: /mnt/models/a/weights, writeBytes: 8Mi}, volumeMounts: [{name: models, mountPath: /mnt/models}]}
  app:
    volumeMounts: [{name: models, mountPath: /models, readOnly: true}, {name: cache, mountPath: /dev/shm}]
  sidecars: [{name: agent}]
load:
  phases:
    - {name: one, type: constant, rate: 1, duration: 1s, request: {do: {readFile: /models/a/weights}}}
"""  # noqa: E501


FILES = """
name: files
question: What?
pod:
  configMaps: [{name: app, data: {log: debug}}]
  secrets: [{name: db, data: {password: hunter2}}]
  volumes: [{name: files, VOLUME}]
  app: {volumeMounts: [{name: files, mountPath: /etc/app}]}
load: {phases: [{name: one, type: constant, rate: 1, duration: 1s}]}
"""


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        ("configMap: {name: app}", {"log": Content(b"debug", 0o644)}),
        ("secret: {secretName: db, defaultMode: 256}", {"password": Content(b"hunter2", 0o400)}),
        (
            "projected: {sources: [{secret: {name: db}}, {configMap: {name: none, optional: true}}]}",
            {"password": Content(b"hunter2", 0o644)},
        ),
        (
            "configMap: {name: app, items: [{key: log, path: conf/log, mode: 0o440}]}",
            {"conf/log": Content(b"debug", 0o440)},
        ),
    ],
)
def test_a_volume_has_the_files_of_config_maps_and_secrets(volume: str, files: dict[str, Content]) -> None:
    """The pod's volumes get them, and what is resolved reads as the same again."""
    spec = read_scenario(FILES.replace("VOLUME", volume), "it")
    assert read_scenario(resolve(spec), "again").pod == spec.pod
    template = pod_template(spec.pod)
    (made,) = template.empty_dirs
    assert made.files is not None and contents(made.files, template.objects) == files


@pytest.mark.parametrize(
    ("volume", "what"),
    [
        ("configMap: {name: none}", 'MountVolume.SetUp failed for volume "files" : configmap "none" not found'),
        ("secret: {secretName: db, items: [{key: x, path: x}]}", "references non-existent secret key: x"),
        ("configMap: {name: app}, secret: {secretName: db}", "may not specify more than 1 volume type"),
        ("configMap: {name: app, items: [{key: log, path: ../x}]}", "must not contain '..'"),
        ("projected: {sources: [{}]}", "there must be exactly one source"),
    ],
)
def test_a_volume_that_the_kubelet_could_not_mount_is_refused(volume: str, what: str) -> None:
    """With its words, and no value of a Secret."""
    with pytest.raises(EmuError) as refused:
        read_scenario(FILES.replace("VOLUME", volume), "it")
    assert what in str(refused.value) + refused.value.why and "hunter2" not in str(refused.value)


def test_a_pod_with_both_is_read_and_made() -> None:
    """In the order of the starts; the stand-in is sent its work; what is resolved reads as the same again."""
    spec = read_scenario(GOOD, "it")
    assert list(spec.pod.containers) == ["mesh", "fetch", "queue-proxy", "app", "agent"]
    assert read_scenario(resolve(spec), "again").pod == spec.pod
    template = pod_template(spec.pod)
    roles = [(one.name, one.role) for one in template.containers]
    assert roles[:2] == [("mesh", "sidecar"), ("fetch", "init")] and {role for _, role in roles[2:]} == {"container"}
    assert template.empty_dirs == (EmptyDir("models", True, 64 * MIB), EmptyDir("cache"))
    assert template.container("app").mounts == (Mount("models", "/models", True), Mount("cache", "/dev/shm"))
    work = Work.from_query(str(template.container("fetch").env[WORK_VARIABLE]))
    assert (work.write_file, work.write_bytes) == ("/mnt/models/a/weights", 8 * MIB)


INIT = "name: fetch, do: {writeFile: /mnt/models/a/weights, writeBytes: 8Mi}"


@pytest.mark.parametrize(
    ("old", "new", "key", "what"),
    [
        ("name: cache}\n", "name: models}\n", "pod.volumes.1.name", "two volumes have the name 'models'"),
        ("{name: cache, mountPath", "{name: cahce, mountPath", "pod.app.volumeMounts.1.name", "there is no volume"),
        ("/dev/shm", "/models", "pod.app.volumeMounts.1.mountPath", "something is mounted at /models already"),
        ("/dev/shm", "/emu-data", "pod.app.volumeMounts.1.mountPath", "nothing can be mounted at /emu-data"),
        ("/dev/shm", "/proc/x", "pod.app.volumeMounts.1.mountPath", "nothing can be mounted at /proc/x"),
        ("/dev/shm", "relative", "pod.app.volumeMounts.1.mountPath", "relative"),
        ("/dev/shm", "/a/../b", "pod.app.volumeMounts.1.mountPath", "/a/../b"),
        ("medium: Memory, ", "", "pod.volumes.0.emptyDir.sizeLimit", "`sizeLimit` applies only to `medium: Memory`"),
        ("medium: Memory", "medium: memory", "pod.volumes.0.emptyDir.medium", "memory"),
        ("{name: cache}", "{name: cache, hostPath: {}}", "pod.volumes.1.hostPath", "no such key"),
        ("name: mesh", "name: fetch", "pod.initContainers.1.name", "two init containers have the name 'fetch'"),
        ("name: agent", "name: mesh", "pod.sidecars.0.name", "an init container and a sidecar have the name 'mesh'"),
        ("name: mesh", "name: app", "pod.initContainers.0.name", "this container cannot be called 'app'"),
        ("15021", "8012", "pod.initContainers.0.port", "port 8012 is taken"),
        ("restartPolicy: Always", "restartPolicy: Never", "pod.initContainers.0.restartPolicy", "Never"),
        ("restartPolicy: Always, ", "", "pod.initContainers.0.startupProbe", "an init container has no startupProbe"),
        (INIT, "name: fetch, hold: 1Mi", "pod.initContainers.1.hold", "`hold` applies only to sidecars"),
        (INIT, "name: fetch, port: 99", "pod.initContainers.1.port", "`port` applies only to sidecars"),
        (INIT, f"restartPolicy: Always, {INIT}", "pod.initContainers.1.do", "`do` applies only to a stand-in"),
        (INIT, f"command: [x], {INIT}", "pod.initContainers.1.do", "`do` applies only to a stand-in"),
        ("/mnt/models/a", "/mnt/other", "pod.initContainers.1.do.writeFile", "fetch has no volume at /mnt/other"),
        ("readFile: /models/a", "readFile: /other", "load.phases.0.request.do.readFile", "the app has no volume at"),
        ("readFile: /models/a/w", "readFile: /models/b/w", "load.phases.0.request.do.readFile", "no phase or key"),
        ("  volumes:", "  shmSize: 0\n  volumes:", "pod.shmSize", "0"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_error_with_its_place(old: str, new: str, key: str, what: str) -> None:
    """The file, the line and the key; what is wrong, why, and what to do."""
    assert old in GOOD
    with pytest.raises(EmuError) as error:
        read_scenario(GOOD.replace(old, new, 1), "it.yaml")
    assert error.value.what.startswith("it.yaml:")
    assert f" {key}: " in error.value.what and what in error.value.what
    assert error.value.why and error.value.fix


def test_starts_measures_no_pod_with_init_containers() -> None:
    """Its stages are those of queue-proxy and the app."""
    text = GOOD[: GOOD.index("load:")] + "starts: {temperatures: [cold]}\n"
    with pytest.raises(EmuError, match="initContainers"):
        read_scenario(text, "it")


def test_an_init_container_has_to_fit_on_the_machine() -> None:
    """The pod's effective request counts: the larger of both times, not the sum."""
    request = "resources: {requests: {memory: 3Gi}}"
    text = GOOD.replace("name: fetch,", f"name: fetch, {request},").replace("app:\n", f"app:\n    {request}\n")
    plays = {"good": read_scenario(text, "it")}
    assert list(lacking(plays, "host", 3 * 2**30, 0)) == []
    assert "3 GiB, do not fit" in next(lacking(plays, "host", 2 * 2**30, 0)).what


@pytest.mark.parametrize("of", ["configMaps.0", "secrets.0"])
def test_a_key_that_would_leave_its_volume_is_refused(of: str) -> None:
    """Before anything is made, at its place, and without its value."""
    old = {"configMaps.0": "log: debug", "secrets.0": "password: hunter2"}[of]
    with pytest.raises(EmuError) as error:
        read_scenario(FILES.replace(old, "../../x: hunter2").replace("VOLUME", "emptyDir: {}"), "it.yaml")
    assert f"pod.{of}.data.../../x: '../../x' cannot be a key" in error.value.what
    assert "hunter2" not in f"{error.value}{error.value.why}{error.value.fix}"
