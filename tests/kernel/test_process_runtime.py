"""A container without Docker, on a real kernel: its start, its limits, its ends, what it prints, what it leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cgroups.group import Cgroup
from cgroups.mount import Mount
from emu.errors import EmuError
from emu.machine.owner import owner
from emu.run import cleaning
from emu.runtime import images
from emu.runtime.api import LABEL_CONTAINER, LABEL_OWNER, LABEL_RUN, ContainerRequest, VolumeKind, VolumeMount
from emu.runtime.podcgroup import CgroupfsPod
from emu.runtime.process import network, roots, spawning
from emu.runtime.process.engine import ProcessRuntime
from tests.kernel.support import DEADLINE_S, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]
MIB = 2**20
PYTHON = "/usr/bin/python3"
HOLD_FOREVER = "import time\nheld = []\nwhile True: held.append(bytearray(1 << 20)); held[-1][::4096] = b'x' * 256"


class Pod:
    """A pod's cgroup with its pause container, in which a test starts others."""

    def __init__(self, runtime: ProcessRuntime, mount: Mount) -> None:
        self.runtime = runtime
        self.run_id = f"emu-test-{uuid.uuid4().hex[:8]}"
        self.cgroup = CgroupfsPod(mount, self.run_id)
        self.labels = {LABEL_RUN: self.run_id, LABEL_OWNER: owner()}
        self.sandbox = ""

    def request(self, command: Sequence[str], **more: Any) -> ContainerRequest:
        """A container of the app's image in this pod."""
        return ContainerRequest(
            f"{self.run_id}.app",
            images.APP,
            {**self.labels, LABEL_CONTAINER: "app"},
            command=command,
            cgroup_parent=self.cgroup.docker_parent,
            network_of=self.sandbox or None,
            **more,
        )

    def start(self, *command: str, **more: Any) -> str:
        """Make one and start it."""
        made = self.runtime.create(self.request(command, **more))
        self.runtime.start(made)
        return made

    def python(self, code: str, **more: Any) -> str:
        """Start one that runs Python code."""
        return self.start(PYTHON, "-c", code, **more)

    def end_of(self, ident: str) -> tuple[int, str]:
        """Wait for its end: its exit code and what it printed."""
        said = b"".join(self.runtime.logs(ident)).decode()
        eventually(lambda: self.runtime.state(ident).phase == "exited")
        return self.runtime.state(ident).exit_code, said

    def group(self, ident: str) -> Cgroup:
        """Its cgroup."""
        return Cgroup(self.cgroup.container_path(ident))


@pytest.fixture(scope="module")
def runtime(mount: Mount) -> ProcessRuntime:
    """The runtime, with its root made."""
    assert mount.controllers
    made = ProcessRuntime()
    made.connect()
    made.provide(images.prepare(), lambda _: None)
    return made


@pytest.fixture
def pod(runtime: ProcessRuntime, mount: Mount) -> Iterator[Pod]:
    """A pod with a network of its own; all of it is gone at the end."""
    made = Pod(runtime, mount)
    made.cgroup.create()
    try:
        made.sandbox = made.start("/bin/sleep", "infinity", hostname="the-pod")
        yield made
    finally:
        for found in runtime.labelled(f"{LABEL_RUN}={made.run_id}"):
            runtime.remove(found.id)
        made.cgroup.remove()
    assert not [name for name in network.existing() if name.startswith(made.run_id)]


def test_it_is_in_its_cgroup_before_it_is_the_program(pod: Pod) -> None:
    """Limits are set, the process is there alone, as a user without rights, in namespaces of its own; what it needs
    from its first page on is charged there.
    """
    ident = pod.start(
        "/bin/sleep", "1000", memory_max=64 * MIB, swap_max=0, millicores=500, cpu_shares=512, oom_score_adj=321
    )
    pid = pod.runtime.state(ident).pid
    group = pod.group(ident)
    assert group.procs() == [pid]
    assert (group.memory.max, group.memory.swap_max) == (64 * MIB, 0)
    assert (group.path / "cpu.max").read_text().split() == ["50000", "100000"]
    assert group.cpu.weight == 20
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == 321
    eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["NSpid"].split()[-1] == "1"
    theirs, ours = Path(f"/proc/{pid}/ns"), Path("/proc/self/ns")
    assert all((theirs / one).readlink() != (ours / one).readlink() for one in ("net", "mnt", "pid", "ipc"))
    assert (group.memory.current or 0) > 0
    # Its loader may have a library open yet.
    eventually(lambda: sorted(path.name for path in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"])


def test_what_it_sees_of_the_machine(pod: Pod) -> None:
    """A root that it cannot write to, a /tmp of its own, its variables whatever they are called, no processes but its
    own, and a loopback.
    """
    code = "\n".join(
        (
            "import os, socket",
            "assert socket.gethostname() == os.environ['HOSTNAME'] == 'the-pod', socket.gethostname()",
            "print(os.getpid(), sorted(os.environ), [n for n in os.listdir('/proc') if n.isdigit()])",
            "open('/tmp/x', 'w').write('x')",
            "socket.create_server(('127.0.0.1', 0))",
            "try: open('/x', 'w')",
            "except OSError as error: print(error.strerror)",
        )
    )
    code, said = pod.end_of(pod.python(code, env={"odd-name.x": "1", "LD_PRELOAD": ""}))
    assert code == 0, said
    first, second = said.splitlines()
    assert first.startswith("1 [") and first.endswith("['1']")
    assert "'odd-name.x'" in first and "'PYTHONPATH'" in first
    assert second == "Read-only file system"


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(0)", 0), ("raise SystemExit(3)", 3), ("import ctypes; ctypes.string_at(0)", 139)],
)
def test_exit_codes(pod: Pod, code: str, expected: int) -> None:
    """Its own, or 128+n for a signal; the end is reported once, and its cgroup goes."""
    ident = pod.python(code)
    assert pod.end_of(ident)[0] == expected
    assert pod.runtime.state(ident).oom_killed is None
    eventually(lambda: not pod.group(ident).exists())


def test_a_program_that_is_not_there(pod: Pod) -> None:
    """The error names it, and what was made for it is gone; it counts as ended, so that it can be tried again."""
    ident = pod.runtime.create(pod.request(["no-such-program"]))
    with pytest.raises(EmuError, match="no-such-program"):
        pod.runtime.start(ident)
    assert pod.runtime.state(ident).phase == "exited"
    assert pod.runtime.state(ident).exit_code == 127
    assert not pod.group(ident).exists()


def test_a_file_that_is_no_program(pod: Pod) -> None:
    """It has started and ended, as where a shell is asked to run it, and has a word on it."""
    assert pod.end_of(pod.start("/etc/passwd")) == (126, "/etc/passwd: Permission denied\n")


def test_what_starts_containers_may_die(pod: Pod) -> None:
    """They run on, and others are started; how one of the former ended is not known then."""
    former = pod.start("/bin/sleep", "1000")
    spawner = spawning.running()
    spawner._process.kill()
    eventually(lambda: not spawner.alive)
    assert pod.end_of(pod.python("raise SystemExit(3)"))[0] == 3
    assert pod.runtime.state(former).phase == "running"
    pod.runtime.stop(former, 0)
    assert pod.end_of(former)[0] == 255


def test_an_oom_kill_is_the_container_s(pod: Pod) -> None:
    """One that outgrows its limit is killed by the kernel in its own cgroup; the pod's counter outlives it."""
    ident = pod.python(HOLD_FOREVER, memory_max=32 * MIB, swap_max=0)
    assert pod.end_of(ident) == (137, "")
    counted = Cgroup(pod.cgroup.path).memory.events
    assert counted is not None and counted.oom_kill == 1


def test_what_a_child_leaves_goes_with_the_first_process(pod: Pod) -> None:
    """A process that its parent left behind is killed with the container, as in Docker."""
    ident = pod.start("/bin/sh", "-c", "sleep 1000 & echo begun")
    assert pod.end_of(ident) == (0, "begun\n")
    eventually(lambda: not pod.group(ident).exists())


def test_stop_is_sigterm_and_then_sigkill(pod: Pod) -> None:
    """One without a handler does not hear SIGTERM, being the first of its namespace; one that has one ends by it."""
    handler = "signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(999)"
    polite = pod.python(f"import signal, sys, time; {handler}")
    logs = pod.runtime.logs(polite)
    assert next(logs).startswith(b"up")
    stubborn = pod.start("/bin/sleep", "1000")
    pod.runtime.stop(polite, 60)
    pod.runtime.stop(stubborn, 0)
    assert pod.runtime.state(polite).exit_code == 7
    assert pod.runtime.state(stubborn).exit_code == 137


def test_events_are_in_docker_s_words(pod: Pod) -> None:
    """create, start, kill with its signal, die with its exit code, destroy: for containers with the label alone."""
    streams: list[Any] = []
    happened = pod.runtime.events(f"{LABEL_RUN}={pod.run_id}", streams.append)
    found: list[tuple[str, str]] = []

    def follow() -> None:
        for event in happened:
            more = event.attributes
            found.append((event.action, more.get("signal") or more.get("exitCode") or ""))

    thread = threading.Thread(target=follow)
    thread.start()
    eventually(lambda: bool(streams))
    ident = pod.start("/bin/sleep", "1000")
    pod.runtime.stop(ident, 0)
    pod.runtime.remove(ident)
    eventually(lambda: ("destroy", "") in found)
    streams[0].close()
    thread.join(DEADLINE_S)
    assert found == [
        ("create", ""), ("start", ""), ("kill", "15"), ("kill", "9"), ("die", "137"), ("stop", ""), ("destroy", ""),
    ]  # fmt: skip


def test_a_command_beside_it(pod: Pod) -> None:
    """It runs in the container's cgroup, root and network, as its user, with its variables; its output and its exit
    code come back.
    """
    ident = pod.start("/bin/sleep", "1000", env={"MARK": "7", "-x": "any name"})
    code = "import os; print(open('/proc/self/cgroup').read().strip(), os.getuid(), os.environ['MARK'], os.getcwd())"
    done = pod.runtime.execute(ident, [PYTHON, "-c", code], 60)
    assert done.exit_code == 0, done.output
    assert done.output.split() == [f"0::{pod.cgroup.docker_parent}/{ident}", "65532", "7", "/"]
    assert pod.runtime.execute(ident, ["sh", "-c", "echo no >&2; exit 4"], 60).exit_code == 4
    with pytest.raises(EmuError, match="no-such-program"):
        pod.runtime.execute(ident, ["no-such-program"], 60)


def test_a_command_that_does_not_end(pod: Pod) -> None:
    """It is killed when its time is over, with what it started, and the container lives on."""
    ident = pod.start("/bin/sleep", "1000")
    done = pod.runtime.execute(ident, ["sh", "-c", "echo begun; sleep 999 & sleep 999"], 10)
    assert (done.exit_code, done.output) == (None, "begun\n")
    eventually(lambda: len(pod.group(ident).procs()) == 1)
    assert pod.runtime.state(ident).phase == "running"


def test_a_frozen_container_is_killed_all_the_same(pod: Pod) -> None:
    """SIGKILL reaches what stands still; nothing is left."""
    ident = pod.start("/bin/sleep", "1000")
    group = pod.group(ident)
    group.core.freeze = True
    eventually(lambda: group.events().frozen is True)
    pod.runtime.remove(ident)
    assert not group.exists()
    assert ident not in [found.id for found in pod.runtime.labelled(LABEL_RUN)]


def test_containers_share_the_pod_s_network(pod: Pod) -> None:
    """One is reached by the pod's address from outside, and by the loopback from another container of the pod."""
    serve = (
        "import socket; s = socket.create_server(('0.0.0.0', 8080)); print('up', flush=True)\nwhile True: s.accept()"
    )
    logs = pod.runtime.logs(pod.python(serve))
    assert next(logs).startswith(b"up")
    address = pod.runtime.address(pod.sandbox)
    ask = "import socket, sys; socket.create_connection((sys.argv[1], 8080), 30)"
    subprocess.run([sys.executable, "-c", ask, address], check=True, timeout=120)
    assert pod.end_of(pod.start(PYTHON, "-c", ask, "127.0.0.1")) == (0, "")


def test_pods_have_networks_of_their_own(pod: Pod, runtime: ProcessRuntime, mount: Mount) -> None:
    """A second pod has another address, and the same ports are free in it."""
    other = Pod(runtime, mount)
    other.cgroup.create()
    try:
        other.sandbox = other.start("/bin/sleep", "infinity")
        assert runtime.address(other.sandbox) != runtime.address(pod.sandbox)
    finally:
        runtime.remove(other.sandbox)
        other.cgroup.remove()


def test_a_volume_is_written_to_and_gone_at_the_end(pod: Pod) -> None:
    """The container's user may write there; its file is on the machine's disk; the run's folder goes with it."""
    pod.runtime.create_volume("data", pod.labels)
    folder = roots.HOME / "runs" / pod.run_id
    request = replace(pod.request(["sh", "-c", "echo kept > /data/file"]), mounts=[VolumeMount("data", "/data")])
    made = pod.runtime.create(request)
    pod.runtime.start(made)
    assert pod.end_of(made) == (0, "")
    assert (folder / "volumes" / "data" / "file").read_text() == "kept\n"
    pod.runtime.remove_volume("data")
    assert not folder.exists()


def test_a_tmpfs_outlives_who_wrote_to_it(pod: Pod) -> None:
    """Its pages are charged to the writer, and to the pod once the writer's cgroup is gone; it has its size; nothing
    of it is left mounted once it is removed.
    """
    pod.runtime.create_volume("fast", pod.labels, VolumeKind(shared=True, memory_bytes=8 * MIB))
    fast = [VolumeMount("fast", "/mnt/fast")]
    full = "import os\ntry:\n open('/mnt/fast/a', 'wb', 0).write(bytes(16 << 20)) and os.sync()\nexcept OSError: pass"
    writer = pod.python(full, mounts=fast)
    assert pod.end_of(writer) == (0, "")
    eventually(lambda: not pod.group(writer).exists())
    size = "import os; print(os.path.getsize('/mnt/fast/a'))"
    assert pod.end_of(pod.python(size, mounts=[replace(fast[0], read_only=True)])) == (0, f"{8 * MIB}\n")
    held = Cgroup(pod.cgroup.path).memory.stat.shmem
    assert held is not None and held >= 8 * MIB
    folder = roots.HOME / "runs" / pod.run_id / "volumes" / "fast"
    assert folder.is_mount()
    pod.runtime.remove_volume("fast")
    assert not folder.exists()


def test_an_image_of_its_own_comes_and_goes(pod: Pod) -> None:
    """A copy for one run shares no file with the common root; filled and archived, it can be removed and taken in
    again.
    """
    runtime = pod.runtime
    tag, archive = f"emu/start-{pod.run_id}", roots.HOME / f"{pod.run_id}.tar"
    try:
        runtime.flatten(images.APP, tag, pod.labels, roots.HOME)
        (mine,), (common,) = runtime.image_folders(tag), runtime.image_folders(images.APP)
        assert (mine / "usr/bin/env").stat().st_ino != (common / "usr/bin/env").stat().st_ino
        runtime.fill(tag, [MIB, 2 * MIB], pod.labels, roots.HOME)
        filler = [mine / "filler" / f"filler-{number}" for number in (0, 1)]
        runtime.save_image(tag, archive)
        runtime.load_image(archive)  # which is there
        runtime.remove_image(tag)
        assert runtime.image_labels(tag) is None and not mine.exists()
        runtime.load_image(archive)
        assert [path.stat().st_size for path in filler] == [MIB, 2 * MIB]
        made = runtime.create(replace(pod.request(["true"]), image=tag))
        runtime.start(made)
        assert pod.end_of(made) == (0, "")
    finally:
        archive.unlink(missing_ok=True)
        runtime.remove_image(tag)
    assert not (roots.HOME / "runs" / pod.run_id).exists()


OTHER_RUN = """
import os, signal, sys
from cgroups.mount import find_cgroup2
from emu.runtime import images
from emu.runtime.api import VolumeKind
from emu.runtime.process.engine import ProcessRuntime
from tests.kernel.test_process_runtime import Pod
runtime = ProcessRuntime()
runtime.connect()
runtime.provide(images.prepare(), lambda _: None)
pod = Pod(runtime, find_cgroup2())
pod.cgroup.create()
pod.cgroup.own(pod.labels["emu.owner"])
runtime.create_volume("data", pod.labels)
runtime.create_volume("fast", pod.labels, VolumeKind(shared=True, memory_bytes=1 << 20))
pod.sandbox = pod.start("/bin/sleep", "infinity", shm_bytes=1 << 20)
pod.start("/bin/sleep", "1000")
print(pod.run_id, flush=True)
signal.pause()
"""


def test_what_a_killed_run_leaves_is_found_and_removed(runtime: ProcessRuntime, mount: Mount) -> None:
    """`emu clean` leaves a living run alone; after SIGKILL it removes its processes, cgroups, network and folder."""
    assert runtime is not None
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_RUN], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    group = Cgroup(CgroupfsPod(mount, run_id).path)
    try:
        assert not [found for found in cleaning.clean(print) if run_id in found.name]
        pids = [pid for part in group.walk() for pid in part.procs()]
        assert len(pids) == 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    removed = {found.kind for found in cleaning.clean(print) if run_id in found.name}
    assert removed == {"cgroup", "network", "folder"}
    assert not group.exists()
    assert not [name for name in network.existing() if name.startswith(run_id)]
    assert not (roots.HOME / "runs" / run_id).exists()
    assert not [found for found in cleaning.clean(print) if run_id in found.name]
