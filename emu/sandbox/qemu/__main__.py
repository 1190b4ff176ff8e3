"""Boots a whole Debian with systemd in QEMU and runs one command in it.

It shows what User-Mode Linux cannot (emu.sandbox.uml): Docker's systemd cgroup driver, journald as PID 1's own,
several CPUs, PSI and cpuset. Everything that a job needs goes in on disks made before the boot, so the guest has no
network:

    vda  root       the distribution, shared by all guests (image.py)
    vdb  docker     /var/lib/docker, with our container images built on it
    vdc  swap       empty, this guest's own
    vdd  job        the project's files, run.sh, the command: this guest's own
    vde  packages   what the project imports (image.py)

A guest's writes go to files that vanish with it; only a results directory, mounted by 9p, lasts. A guest serves one
job, so there is nothing to talk about with it: it is ended as soon as it has told the exit status.

Run as `python -m emu.sandbox.qemu run [OPTION]… -- COMMAND…`.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

import emu
from emu.errors import EmuError
from emu.machine import command, output, paths, toplevel
from emu.runtime import images
from emu.runtime.docker import Engine
from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu.accelerator import accelerator
from emu.sandbox.qemu.image import GUEST_FILES, GuestImage, Say
from emu.units import parse_bytes, parse_seconds

EXIT_SANDBOX = 125
"""What a run ends with when the guest itself failed, as against the command in it (as `docker run` does)."""
PROJECT = Path(emu.__file__).resolve().parents[1]
"""The tree that a guest gets a copy of."""

PORTS = ("emu.out", "emu.err", "emu.status")
"""The guest's serial ports: the job's standard output, its standard error, and how far the guest is."""
_APPEND = (
    "root=/dev/vda rw console=ttyS0 loglevel=5 systemd.show_status=yes panic=-1 log_buf_len=4M "
    "psi=1 apparmor=0 mitigations=off net.ifnames=0 tsc=reliable"
)
_JOB_BYTES = 8 * 2**30
_DOCKER_BYTES = 24 * 2**30
_DOCKER_DISKS = 2
_CONSOLE_LINES = 30
_QUIET_S = 0.2
_NEVER_COPIED = (".git", ".venv", "runs", "build", "dist", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")


class GuestError(EmuError):
    """The guest itself failed: it did not come up, it panicked, or its command overran its time."""

    exit_status = EXIT_SANDBOX


@dataclass(frozen=True)
class Share:
    """A directory of the host's, mounted in the guest by 9p; read-only unless `writable`."""

    host: Path
    guest: str
    writable: bool = False

    @classmethod
    def parse(cls, text: str) -> Share:
        """`HOST_DIR[:GUEST_DIR]`; without the second it has the same name inside."""
        host, _, guest = text.partition(":")
        path = Path(host).resolve()
        share = cls(path, guest or str(path))
        if not path.is_dir():
            raise EmuError(f"cannot share {host} with the guest", "it is not a directory", "name a directory")
        if not share.guest.startswith("/") or len(share.guest.split()) != 1:
            raise EmuError(
                f"cannot share {host} with the guest as {share.guest!r}",
                "its name in the guest is not an absolute path without white space",
                f"name one: {host}:/mnt/name",
            )
        return share


@dataclass(frozen=True)
class Machine:
    """What the guest has."""

    memory_bytes: int = 4 * 2**30
    cpus: int = 2
    swap_bytes: int = 2 * 2**30
    boot_deadline_s: float = 300.0


@dataclass(frozen=True)
class Job:
    """What the guest is for. `timeout_s` counts from when it is up; `None` waits for ever."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    shares: Sequence[Share] = ()
    timeout_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `ready_s`: from QEMU's start until Docker was up and the job began; `job_s`: its own time."""

    status: int
    ready_s: float
    job_s: float


@dataclass(frozen=True)
class Disk:
    """One of the guest's disks, a file."""

    path: Path
    kept: bool = False
    """Whether what the guest writes to it lasts."""


def run(
    argv: Sequence[str],
    *,
    say: Say,
    machine: Machine | None = None,
    env: Mapping[str, str] | None = None,
    shares: Sequence[Share] = (),
    results: Path | None = None,
    with_images: bool = False,
    timeout_s: float | None = None,
    sources: Path | None = None,
) -> Outcome:
    """Run a command as root in a fresh guest, in a copy of the project's working tree, its output on ours.

    `results` is made if need be and is /results inside, the one place that lasts. `with_images`: the
    guest's Docker has our container images. EmuError if a guest cannot be made here, GuestError if it failed.
    """
    machine = machine or Machine()
    guest = disks.build_image(say, sources=sources)
    packages = disks.python_packages(guest, PROJECT, say)
    all_shares = list(shares)
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
        all_shares.append(Share(results.resolve(), "/results", writable=True))
    built = None
    if with_images:
        built, share = docker_disk(guest, packages, machine, say)
        all_shares.append(share)
    with scratch_directory() as scratch:
        if built is None:
            disks.format_ext4(scratch / "docker.ext4", "emu-docker", _DOCKER_BYTES)
        docker = Disk(built or scratch / "docker.ext4")
        job = Job(argv, env or {}, all_shares, timeout_s)
        return _boot_and_run(guest, packages, docker, machine, job, scratch)


def docker_disk(guest: GuestImage, packages: Path, machine: Machine, say: Say) -> tuple[Path, Share]:
    """A /var/lib/docker with our container images, built once in a guest of its own: without KVM that takes minutes.

    The share has what emu.runtime.images needs for that where there is no network; each run looks at it again.
    """
    artifacts = images.prepare(say)
    share = Share(paths.cache_dir() / "images", "/root/.cache/emu/images")
    base = disks.digest([guest.key, artifacts.key])
    sources = disks.digest(image.digest for image in images.ensure(_NoEngine(), artifacts))
    disk = disks.cache_directory() / "docker" / f"{base}-{sources}.ext4"

    def make(place: Path) -> None:
        say("building the container images in the guest's Docker, once for these sources")
        older = sorted(place.parent.glob(f"{base}-*.ext4"), key=lambda path: path.stat().st_mtime)
        if older:  # most of the work is in it: only images whose sources have changed are built
            disks.copy_sparse(older[-1], place)
        else:
            disks.format_ext4(place, "emu-docker", _DOCKER_BYTES)
        for path in older[:-_DOCKER_DISKS]:
            disks.remove(path)
        job = Job(["python3", "-m", "emu.sandbox.qemu.inside.build_images"], shares=[share])
        with scratch_directory() as scratch:
            outcome = _boot_and_run(guest, packages, Disk(place, kept=True), machine, job, scratch)
        if outcome.status != 0:
            raise GuestError(
                "cannot build the container images in the systemd guest",
                f"that ended with status {outcome.status}; what it said is above",
                "see whether they can be built elsewhere: emu images",
            )

    disks.made_once(disk, make)
    return disk, share


class _NoEngine(Engine):
    """Has no image and builds none: emu.runtime.images tells it what it would build, and from what."""

    def image_labels(self, tag: str) -> dict[str, str] | None:
        return None

    def build(self, tag: str, files: Mapping[str, Path | bytes], labels: Mapping[str, str]) -> None:
        pass


def _boot_and_run(
    guest: GuestImage, packages: Path, docker: Disk, machine: Machine, job: Job, scratch: Path
) -> Outcome:
    copy_project(PROJECT, scratch / "job/project", python=guest.python)
    write_job(scratch / "job", job, keep_docker=docker.kept)
    disks.format_ext4(scratch / "job.ext4", "emu-job", _JOB_BYTES, scratch / "job")
    disks.format_swap(scratch / "swap.img", machine.swap_bytes)
    used = [Disk(guest.root), docker, Disk(scratch / "swap.img", kept=True), Disk(scratch / "job.ext4", kept=True)]
    used.append(Disk(packages))
    how = accelerator(guest.kernel, disks.cache_directory() / "accelerator")
    with ExitStack() as undo:
        ports = {name: socket.socketpair() for name in PORTS}
        for ours, theirs in ports.values():
            undo.callback(ours.close)
            undo.callback(theirs.close)
        fds = {name: theirs.fileno() for name, (_ours, theirs) in ports.items()}
        console = scratch / "console.log"
        words = qemu_command_line(guest, how, machine, used, fds, job.shares, console)
        with (scratch / "qemu.log").open("wb") as log:
            qemu = command.spawn(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdout=log.fileno(),
                stderr=log.fileno(),
                env={**os.environ, "TMPDIR": str(scratch)},
                pass_fds=list(fds.values()),
            )
        undo.callback(_end, qemu)
        for _ours, theirs in ports.values():
            theirs.close()
        heard = {name: ours for name, (ours, _theirs) in ports.items()}
        return Listener(qemu, heard, machine, job.timeout_s, scratch).serve()


def qemu_command_line(
    guest: GuestImage,
    how: Sequence[str],
    machine: Machine,
    used: Sequence[Disk],
    ports: Mapping[str, int],
    shares: Sequence[Share],
    console: Path,
) -> list[str]:
    """The words that start the guest. `ports` are connected sockets, by the name that the guest finds them under."""
    words = ["qemu-system-x86_64", *how, "-smp", str(machine.cpus), "-m", f"{machine.memory_bytes // 2**20}M"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]
    words += ["-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", _APPEND]
    words += ["-serial", f"file:{_escaped(console)}", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    for disk in used:
        lasting = "off" if disk.kept else "on"
        words += ["-drive", f"file={_escaped(disk.path)},if=virtio,format=raw,cache=unsafe,snapshot={lasting}"]
    for name, fd in ports.items():
        words += ["-chardev", f"socket,id={name},fd={fd},server=off"]
        words += ["-device", f"virtserialport,chardev={name},name={name}"]
    for number, share in enumerate(shares):
        readonly = "off" if share.writable else "on"
        words += ["-virtfs", f"local,path={_escaped(share.host)},mount_tag=share{number},security_model=none"]
        words[-1] += f",readonly={readonly},multidevs=remap"
    return words


def copy_project(project: Path, into: Path, *, python: str) -> None:
    """The working tree, uncommitted files too, without what git ignores; byte code as well if it fits the guest's.

    A tree that git does not know (an unpacked archive) is copied without the directories that tools make.
    """
    try:
        listed = command.run(
            ["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            what="",
            fix="",
        )
    except EmuError:
        shutil.copytree(project, into, symlinks=True, ignore=shutil.ignore_patterns(*_NEVER_COPIED))
    else:
        into.mkdir(parents=True)
        for name in filter(None, listed.split("\0")):
            if (project / name).is_file():  # one that is deleted and not yet committed is listed too
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project / name, into / name, follow_symlinks=False)
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        for package in ("cgroups", "emu"):
            compileall.compile_dir(
                into / package,
                quiet=2,
                stripdir=str(into.parent),
                prependdir="/job",
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


def write_job(place: Path, job: Job, *, keep_docker: bool) -> None:
    """What run.sh reads: the mounts, the command, and whether /var/lib/docker is to be left whole."""
    shutil.copy(GUEST_FILES / "run.sh", place / "run.sh")
    with (place / "mounts").open("w") as mounts:
        for number, share in enumerate(job.shares):
            mounts.write(f"share{number} {share.guest} {'rw' if share.writable else 'ro'}\n")
    variables = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/job/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": "/job/project:/opt/emu-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "EMU_SANDBOX": "qemu",
        **job.env,
    }
    exports = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (place / "command.sh").write_text("".join([*exports, "cd /job/project\n", f"exec {shlex.join(job.argv)}\n"]))
    emu_program = place / "bin" / "emu"
    emu_program.parent.mkdir()
    emu_program.write_text("#!/usr/bin/python3\nfrom emu.cli.main import main\n\nmain()\n")
    emu_program.chmod(0o755)
    if keep_docker:
        (place / "keep-docker").touch()


class Listener:
    """Hears one guest's serial ports: its job's output goes to ours, its status lines tell how far it is."""

    def __init__(
        self,
        qemu: subprocess.Popen[bytes],
        ports: Mapping[str, socket.socket],
        machine: Machine,
        timeout_s: float | None,
        scratch: Path,
    ) -> None:
        self._qemu = qemu
        self._ports = ports
        self._machine = machine
        self._timeout_s = timeout_s
        self._scratch = scratch
        self._began = time.monotonic()
        self._ready_s: float | None = None
        self._status: int | None = None
        self._line = b""

    def serve(self) -> Outcome:
        """Until the guest has told its job's status. GuestError if it fails, or is late."""
        with selectors.DefaultSelector() as selector:
            for name, port in self._ports.items():
                selector.register(port, selectors.EVENT_READ, name)
            while self._status is None:
                heard = selector.select(min(1.0, max(0.0, self._deadline() - time.monotonic())))
                for key, _events in heard:
                    self._hear(selector, key)
                if self._status is None and not heard:
                    self._check()
            job_s = time.monotonic() - self._began - (self._ready_s or 0.0)
            while heard := [(key, events) for key, events in selector.select(_QUIET_S) if key.data != "emu.status"]:
                for key, _events in heard:  # ports are separate queues: the status may overtake the last output
                    self._hear(selector, key)
        return Outcome(self._status, ready_s=self._ready_s or 0.0, job_s=job_s)

    def _deadline(self) -> float:
        if self._ready_s is None:
            return self._began + self._machine.boot_deadline_s
        return float("inf") if self._timeout_s is None else self._began + self._ready_s + self._timeout_s

    def _hear(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, 65536)
        except ConnectionResetError:
            data = b""
        if not data:
            selector.unregister(key.fileobj)
            if key.data == "emu.status":
                self._check(gone=True)
        elif key.data == "emu.status":
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                self._obey(line.decode(errors="replace"))
        else:
            _write_all(1 if key.data == "emu.out" else 2, data)

    def _obey(self, line: str) -> None:
        _uptime, _, rest = line.partition(" ")
        word, _, value = rest.partition(" ")
        if word == "ready":
            self._ready_s = time.monotonic() - self._began
        elif word == "exit":
            self._status = int(value)
        else:
            self._fail(f"{value or word} failed in it", "look at what the guest said, above")

    def _check(self, *, gone: bool = False) -> None:
        if gone or self._qemu.poll() is not None:
            self._qemu.wait(10)
            self._fail(
                f"QEMU ended by itself (status {self._qemu.returncode})", "look at the end of its console, above"
            )
        if time.monotonic() < self._deadline():
            return
        if self._ready_s is None:
            self._fail(
                f"it had not booted after {self._machine.boot_deadline_s:.0f} s", "allow more: --boot-deadline"
            )
        self._fail(f"its command had not ended after {self._timeout_s:.0f} s", "allow more: --timeout")

    def _fail(self, why: str, fix: str) -> NoReturn:
        said = []
        for name in ("qemu.log", "console.log"):
            path = self._scratch / name
            said += path.read_text(errors="replace").splitlines() if path.exists() else []
        panics = [line.partition("not syncing: ")[2] for line in said if "Kernel panic" in line]
        if panics:
            why = f"its kernel panicked: {panics[0]}"
        tail = [f"    {line}" for line in said[-_CONSOLE_LINES:]]
        raise GuestError("the systemd guest failed", "\n".join([f"{why}; its console ended:", *tail]), fix)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for one guest's own disks, gone afterwards; what killed runs left behind goes now.

    Each is told alive by the lock that its owner holds on it.
    """
    parent = disks.cache_directory() / "scratch"
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        with disks.locked(parent / "lock"):
            for left in parent.glob("run-*"):
                if disks.is_unlocked(left):
                    disks.remove(left)
            scratch = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
            undo.callback(disks.remove, scratch)
            undo.enter_context(disks.locked(scratch))
        yield scratch


def _end(qemu: subprocess.Popen[bytes]) -> None:
    qemu.terminate()
    try:
        qemu.wait(5)
    except subprocess.TimeoutExpired:
        qemu.kill()
        qemu.wait()


def _escaped(path: Path) -> str:
    """QEMU's option syntax: a comma in a name is doubled."""
    return str(path).replace(",", ",,")


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@click.group()
def main() -> None:
    """A whole Debian with systemd in QEMU, for what the User-Mode Linux sandbox cannot show."""


@main.command("build")
@click.option("--sources", type=click.Path(path_type=Path), help="apt's sources, if not those of this host.")
def build_command(sources: Path | None) -> None:
    """Make the guest's disks, unless they are there already."""
    guest = disks.build_image(_say, sources=sources)
    disks.python_packages(guest, PROJECT, _say)
    output.echo(guest.directory)


@main.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--memory", default="4Gi", show_default=True, help="The guest's memory.")
@click.option("--swap", default="2Gi", show_default=True, help="The guest's swap.")
@click.option("--cpus", default=2, show_default=True, help="The guest's CPUs.")
@click.option("--timeout", help="End the command after this long.")
@click.option("--boot-deadline", default="300s", show_default=True, help="Give up a boot after this long.")
@click.option("--share", "shares", multiple=True, metavar="HOST_DIR[:GUEST_DIR]", help="Mount read-only.")
@click.option("--results", type=click.Path(path_type=Path), help="A directory that is /results, writable.")
@click.option("--images/--no-images", "with_images", help="Have our container images in its Docker.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="Set in the command's environment.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def run_command(
    memory: str,
    swap: str,
    cpus: int,
    timeout: str | None,
    boot_deadline: str,
    shares: tuple[str, ...],
    results: Path | None,
    with_images: bool,
    variables: tuple[str, ...],
    argv: tuple[str, ...],
) -> None:
    """Run a command in a fresh guest, in a copy of this project, as root; end with its exit status."""
    machine = Machine(parse_bytes(memory), cpus, parse_bytes(swap), parse_seconds(boot_deadline))
    outcome = run(
        argv,
        say=_say,
        machine=machine,
        env={name: value for name, _, value in (variable.partition("=") for variable in variables)},
        shares=[Share.parse(share) for share in shares],
        results=results,
        with_images=with_images,
        timeout_s=parse_seconds(timeout) if timeout else None,
    )
    _say(f"ready after {outcome.ready_s:.1f} s, the command took {outcome.job_s:.1f} s")
    sys.exit(outcome.status)


def _say(text: str) -> None:
    output.echo(f"guest: {text}", err=True)


def _stop(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    sys.exit(toplevel.run(partial(main, standalone_mode=False)))
