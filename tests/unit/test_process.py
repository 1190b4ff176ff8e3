"""Pods without Docker, as far as no kernel is needed: what a scenario may say, how a process is started, addresses,
leftovers, and how a run describes itself.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.machine.proc import stat
from emu.report.journal import entries
from emu.report.page.header import header
from emu.report.summary import summarize
from emu.runtime.process import launch, leftovers, network, roots, spawning
from emu.runtime.process.journald_lines import JournalLines
from emu.runtime.process.launch import Bind, Start
from emu.runtime.process.network import Network
from emu.runtime.process.spawning import Spawner
from emu.scenario.reading import needs_docker, read_scenario, resolve
from emu.study.study import read_study
from tests.fakes import FakeRun

HEAD = "name: plain\nquestion: Is it?\n"
_OF_LIBC = 0b11 << 31
"""Signals 32 and 33: its own, which GNU make has programs ignore."""


def test_docker_runs_a_pod_by_default() -> None:
    """The default is docker; `--set` changes it; resolved, it reads the same."""
    assert read_scenario(HEAD, "plain.yaml").pod.runtime == "docker"
    spec = read_scenario(HEAD, "plain.yaml", ["pod.runtime=process"])
    assert spec.pod.runtime == "process"
    assert read_scenario(resolve(spec), "again") == spec


@pytest.mark.parametrize(
    ("pod", "line", "words"),
    [
        ("  runtime: podman\n", 4, "podman"),
        ("  runtime: process\n  app:\n    image: nginx\n", 6, "nginx"),
        ("  runtime: process\n  queueProxy: {image: qp}\n", 5, "runtime: docker"),
        ("  runtime: process\n  sidecars:\n    - {name: mesh, image: envoy}\n", 6, "envoy"),
        ("  runtime: process\n  freezer: {method: docker}\n", 5, "method: cgroup"),
        ("  runtime: process\n  freezer: {grace: 1s}\n", 5, "method: cgroup"),
    ],
)
def test_what_cannot_be_without_docker_is_an_error_when_it_is_read(pod: str, line: int, words: str) -> None:
    """Another image, Docker's pause (which a freezer has unless it says otherwise): where it is, and the way out."""
    with pytest.raises(EmuError) as caught:
        read_scenario(f"{HEAD}pod:\n{pod}", "plain.yaml")
    assert f"plain.yaml:{line}:" in caught.value.what
    assert words in str(caught.value)


def test_what_else_a_pod_has_goes_without_docker() -> None:
    """Commands of one's own, the freezer by cgroup, files, probes, starts from every temperature."""
    text = (
        "pod:\n  runtime: process\n  freezer: {method: cgroup}\n"
        "  app: {command: [sleep, infinity], memory: {swapMax: max}}\nstarts: {}\n"
    )
    assert read_scenario(HEAD + text, "plain.yaml").starts is not None


def test_an_engine_is_needed_if_one_variant_needs_it() -> None:
    """Where a run takes place is decided once, for all of its variants."""
    variants = "variants:\n  a: {pod.runtime: process}\n  b: {pod.runtime: %s}\n"
    assert needs_docker(read_scenario(HEAD, "plain.yaml"))
    assert needs_docker(read_scenario(HEAD + variants % "docker", "plain.yaml"))
    assert not needs_docker(read_scenario(HEAD + variants % "process", "plain.yaml"))


def test_a_program_is_looked_for_in_the_container_s_root(tmp_path: Path) -> None:
    """By its path or along the container's PATH; a link counts, wherever it leads from here; a folder does not."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to("/etc/alternatives/python3")
    (tmp_path / "bin/true").touch()
    env = {"PATH": "/usr/bin:/bin"}
    assert launch.find_program("python3", tmp_path, env) == "/bin/python3"
    assert launch.find_program("/bin/true", tmp_path, env) == "/bin/true"
    assert launch.find_program("/bin", tmp_path, env) is None
    assert launch.find_program("false", tmp_path, env) is None
    assert launch.find_program("true", tmp_path, {}) is None


def test_a_program_has_its_own_variables_and_the_chain_has_none_of_them() -> None:
    """Whatever a scenario calls or sets a variable to, the programs of this machine do not see it."""
    words, carried = launch.program(["/usr/bin/env"], {"odd-name.x": "a b", "PATH": "/nowhere"})
    said = subprocess.run(words, env=carried, capture_output=True, text=True, check=True).stdout
    assert sorted(said.splitlines()) == ["PATH=/nowhere", "odd-name.x=a b"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("-i", "x"),
        ("--help", "x"),
        ("-", ""),
        ("tls.crt", "line 1\nline 2\n"),
        ("it's", "$HOME ${EMU_0} \\n 'a' \"b\" # c"),
        ("a\\b $c #d", "ünï"),
        ("EMU_0", "own"),
    ],
)
def test_a_variable_may_be_called_anything_and_its_value_is_no_argument(name: str, value: str) -> None:
    """What a Secret's keys are called, and what is in them: arguments are for all processes to read."""
    env = {name: value, "HIDDEN": "only here"}
    words, carried = launch.program(["/usr/bin/env", "-0"], env)
    said = subprocess.run(words, env=carried, capture_output=True, text=True, check=True).stdout
    assert said == f"{name}={value}\0HIDDEN=only here\0"
    assert "only here" not in " ".join(words)


def test_a_program_may_have_an_equals_sign_in_its_path(tmp_path: Path) -> None:
    """env(1) would set a variable of that name, and run the first argument."""
    program = tmp_path / "a=b"
    program.symlink_to("/usr/bin/printenv")
    words, carried = launch.program([str(program), "NAME"], {"NAME": "x=y"})
    assert subprocess.run(words, env=carried, capture_output=True, text=True, check=True).stdout == "x=y\n"


def test_what_is_to_be_started_is_said_whole(tmp_path: Path) -> None:
    """Each folder with its mode, and variables of any bytes: a Secret's value need not be text."""
    env = {"KEY": os.fsdecode(b"\xff\n"), "NAME": "ü"}
    binds = [Bind(Path("/a"), "/data", writable=True), Bind(Path("/b"), "/run")]
    start = Start(
        Path("/cg/procs"), 5, Path("/root"), Path("/ns"), "pod", binds, "/bin/prog", ["prog", "--", "x"], env
    )
    said = json.loads(start.to_json().encode())
    assert said["binds"] == [["/a", "/data", True], ["/b", "/run", False]]
    assert (said["file"], said["argv"], said["env"]) == ("/bin/prog", ["prog", "--", "x"], env)


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of pids is root's to make")
def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    """Its network is not there."""
    start = Start(tmp_path / "procs", 5, tmp_path, tmp_path / "net", "pod", [], "/bin/true", ["true"], {})
    spawner = Spawner()
    output = os.open(os.devnull, os.O_WRONLY)
    try:
        before = _descriptors()
        with pytest.raises(EmuError) as caught:
            spawner.start(start, output)
        _eventually(lambda: _descriptors() <= before)
    finally:
        os.close(output)
        spawner.close()
    assert caught.value.why == f"{tmp_path}/net: No such file or directory"


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of pids is root's to make")
def test_a_start_that_is_not_permitted_asks_for_more_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a limit of open files above what the kernel lets anybody have."""
    monkeypatch.setattr(launch, "NOFILE", 1 << 31)
    spawner = Spawner()
    try:
        with pytest.raises(EmuError) as caught:
            spawner.start(_shell("exit"), 1)
    finally:
        spawner.close()
    assert caught.value.why.startswith("a container may have 2147483648 files open, and emu may allow no more than")
    assert "capabilities" in caught.value.fix


def test_who_starts_containers_may_be_gone(tmp_path: Path) -> None:
    """It is an error like any other, and comes at once."""
    spawner = Spawner()
    spawner._process.kill()
    spawner._thread.join()
    with pytest.raises(EmuError) as caught:
        spawner.start(_shell("exit"), 1)
    spawner._connection.close()
    assert caught.value.why == "the process that starts containers has ended"


STOPPED = """
import os, signal
from emu.runtime.process import spawning
spawning._SAID_S = 0.2
pid = spawning.running()._process.pid
os.kill(pid, signal.SIGSTOP)
print(pid)
"""


def test_who_starts_containers_ends_with_its_run_even_if_it_was_stopped() -> None:
    """It does not see then that the run has ended."""
    said = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, check=True, timeout=120)
    assert stat(int(said.stdout)) is None


def test_a_copy_of_a_process_has_one_of_its_own() -> None:
    """Nothing in it hears what the first process's says."""
    spawner = spawning.running()
    pid = os.fork()
    if pid == 0:
        os._exit(spawning.running() is spawner)
    assert os.waitpid(pid, 0)[1] == 0
    assert spawning.running() is spawner


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of pids is root's to make")
def test_a_container_gets_nothing_of_the_shell_that_emu_was_called_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither signals that it ignores, as nohup and & have it, nor its mask of new files."""
    monkeypatch.setattr(launch, "NOFILE", 1024)  # a machine may not let us raise it
    umask, hangup = os.umask(0o077), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    spawner = Spawner()
    os.umask(umask)
    signal.signal(signal.SIGHUP, hangup)
    output, output_end = os.pipe()
    try:
        begun = spawner.start(
            _shell("umask; grep -e SigIgn -e SigBlk -e CapBnd /proc/self/status; ls /proc/self/fd"), output_end
        )
        os.close(output_end)
        with os.fdopen(output) as printed:
            said = printed.read().split()
        assert begun.status() == 0
        os.close(begun.pidfd)
    finally:
        spawner.close()
    zeros = "0" * 16
    said[4] = f"{int(said[4], 16) & ~_OF_LIBC:016x}"
    assert said[:7] == ["0022", "SigBlk:", zeros, "SigIgn:", zeros, "CapBnd:", zeros]
    assert said[7:] == ["0", "1", "2", "3"]  # the last is of ls itself


@pytest.mark.skipif(os.geteuid() != 0, reason="to enter the namespaces of a process is root's")
def test_a_command_beside_a_container_gets_nothing_of_that_shell_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe or a hook has the container's mask and its limit of open files, whatever `emu run` was started with."""
    monkeypatch.setattr(launch, "NOFILE", 1000)
    own, carried = launch.program(["sh", "-c", "umask; ulimit -n; ulimit -Hn; grep SigIgn /proc/self/status"], {})
    words = launch.execute_words(Path(os.devnull), 5, os.getpid(), own)
    umask, hangup = os.umask(0o077), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        said = subprocess.run(words, env=carried, capture_output=True, text=True, check=True).stdout.split()
    finally:
        os.umask(umask)
        signal.signal(signal.SIGHUP, hangup)
    assert said[:3] == ["0022", "1000", "1000"]
    assert int(said[4], 16) & ~_OF_LIBC == 0


def test_what_is_mounted_and_imported_is_open_to_a_container_s_user(tmp_path: Path) -> None:
    """Also where root's umask lets nobody else read what root makes, as emu's own files there are."""
    before = os.umask(0o077)
    try:
        source = tmp_path / "source"
        (source / "daemon").mkdir(parents=True)
        (source / "daemon/main.py").write_text("")
        roots.make_mount_point(tmp_path, "/mnt/models/one")
        roots._open_to_all(source)
    finally:
        os.umask(before)
    made = ("mnt", "mnt/models", "mnt/models/one", "source", "source/daemon")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in made] == [0o755] * 5
    assert (source / "daemon/main.py").stat().st_mode & 0o777 == 0o644


def _shell(line: str) -> Start:
    """A shell of this machine's, in a view of its own of this machine's files."""
    return Start(
        Path(os.devnull), 5, Path("/"), Path("/proc/self/ns/net"), "pod", [], "/bin/sh", ["sh", "-c", line],
        {"PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _eventually(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_pods_have_addresses_that_are_nobody_s() -> None:
    """Each pair has four addresses of the range for measuring networks, and no two share one."""
    pods = [Network("x", number) for number in (0, 1, 2**15 - 1)]
    assert [(pod.gateway, pod.address) for pod in pods[:2]] == [
        ("198.18.0.1", "198.18.0.2"), ("198.18.0.5", "198.18.0.6"),
    ]  # fmt: skip
    assert all(ipaddress.ip_address(pod.address) in network.ADDRESSES for pod in pods)
    assert list(network._free(["lo", "emu0", "emu2", "eth0"]))[:2] == [1, 3]


def test_a_run_s_folder_says_whose_it_is(tmp_path: Path) -> None:
    """What a dead run left is removed, what a living one uses is not; an empty one goes with its last part."""
    for run, owner in (("emu-a-1", "alive"), ("emu-b-2", "dead")):
        (leftovers.make_folder(run, owner, tmp_path) / "volumes").mkdir()
    living = leftovers.living_runs(lambda owner: owner == "alive", tmp_path)
    assert living == {"emu-a-1"}
    found = [name for kind, name in leftovers.clean(lambda: living, tmp_path) if kind == "folder"]
    assert found == [str(tmp_path / "runs/emu-b-2")]
    leftovers.forget_if_empty(tmp_path / "runs/emu-a-1")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_s_folder_stays_while_something_is_in_it(tmp_path: Path) -> None:
    """A volume is gone, an image is not yet."""
    folder = leftovers.make_folder("emu-a-1", "alive", tmp_path)
    (folder / "images/app").mkdir(parents=True)
    (folder / "volumes").mkdir()
    leftovers.forget_if_empty(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["images", "owner"]


def test_a_root_has_its_name_once_it_is_on_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that is killed after that keeps the name, and what was not written yet would be empty files."""
    written: list[tuple[str, bool]] = []
    folder = tmp_path / "roots/one"
    monkeypatch.setattr(roots, "_run", lambda words, _: written.append((words[-1], folder.exists())))
    with roots._made(folder) as scratch:
        (scratch / "file").write_text("x")
    assert written == [(str(scratch), False)]
    assert (folder / "file").read_text() == "x"


def test_a_root_that_no_run_asks_for_goes_after_a_week(tmp_path: Path) -> None:
    """Roots are made for each state of the sources; one in use has been asked for lately."""
    day = 86400.0
    for name, age_days in (("base-1-a", 1.0), ("0123", 6.9), ("4567", 7.1), (".making-x", 30.0)):
        (tmp_path / "roots" / name).mkdir(parents=True)
        os.utime(tmp_path / "roots" / name, (0.0, 100 * day - age_days * day))
    assert [folder.name for folder in roots.unused(tmp_path, 100 * day)] == [".making-x", "4567"]


def test_output_reaches_the_journal_in_whole_lines(tmp_path: Path) -> None:
    """However it comes in parts; the last one without its end; an empty one is none; a long one in pieces."""
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(path)
        journald.settimeout(120)
        lines = JournalLines("run.app.0", "f" * 64, path)
        for part in (b"one\ntw", b"o\n\n", b"x" * (50 * 1024), b"end"):
            lines.take(part)
        lines.end()
        got = [journald.recv(1 << 17) for _ in range(4)]
    messages = [part.partition(b"MESSAGE=")[2].partition(b"\n")[0] for part in got]
    assert messages == [b"one", b"two", b"x" * (48 * 1024), b"x" * (2 * 1024) + b"end"]
    assert all(b"CONTAINER_NAME=run.app.0\n" in part for part in got)


def test_a_run_says_what_ran_its_pod(tmp_path: Path) -> None:
    """summary.json, the page's head and the journal; a run that knew no other was Docker's."""
    old = FakeRun(tmp_path / "old")
    new = FakeRun(tmp_path / "new", machine={"runtime": "process", "docker": None})
    studies = [read_study(run.finish()) for run in (old, new)]
    reported = [(study, summarize(study)) for study in studies]
    assert [summary["machine"]["runtime"] for _, summary in reported] == ["docker", "process"]
    assert ["as processes" in header(*pair) for pair in reported] == [False, True]
    assert [entries(study)[0].text.endswith(", as processes)") for study in studies] == [False, True]


def test_the_chain_s_programs_are_there() -> None:
    """On any Debian that has what `make install` installs."""
    assert launch.missing_tools() == []
    assert os.access(launch.tool("nsenter"), os.X_OK)
