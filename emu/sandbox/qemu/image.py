"""The disks of the systemd guest: a whole Debian (or Ubuntu) made once, and the Python packages its jobs import.

Both are artefacts of the user's cache directory, made under a temporary name and renamed, each named by a digest of
all that went into it. A guest never writes to them: QEMU keeps its writes aside and forgets them.

The root disk is the host's own suite from the host's own package sources, so it is the systemd, the kernel and the
Docker engine that a user of that suite has. inside/rootfs/ lies over it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command, paths
from emu.sandbox.uml.parts import install_line, which

Say = Callable[[str], None]
"""Called with what is being done when it takes more than a moment."""

GUEST_FILES = Path(__file__).with_name("inside")
"""All that runs inside: packages.txt and rootfs/ make the root disk, run.sh runs each job."""

_KERNELS = {"debian": "linux-image-amd64", "ubuntu": "linux-image-generic"}
_ROOT_BYTES = 12 * 2**30
_BUILD_DEADLINE_S = 1800.0
_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "mkswap": "util-linux",
    "setpriv": "util-linux",
}
_NOT_FOR_TESTS = ("mypy", "ruff", "types-")
_DISTRIBUTION = "pod-emu"
_UNUSED_S = 30 * 86400.0


@dataclass(frozen=True)
class GuestImage:
    """A root disk with the kernel and initrd that boot it. `python` is its Python's version, such as `3.11`."""

    directory: Path
    python: str

    @property
    def key(self) -> str:
        """The digest of what it was made from."""
        return self.directory.name

    @property
    def root(self) -> Path:
        """The root file system: ext4, sparse, never written to by a guest."""
        return self.directory / "root.ext4"

    @property
    def kernel(self) -> Path:
        """The distribution's own kernel."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Just the modules that reach the root disk."""
        return self.directory / "initrd"


@dataclass(frozen=True)
class Distribution:
    """The host's, and so the guest's: `debian` or `ubuntu`, the suite, and the file with apt's mirrors."""

    name: str
    suite: str
    sources: Path

    @property
    def packages(self) -> list[str]:
        """What the root disk holds beside the suite's essential packages."""
        return [*_listed("packages.txt"), _KERNELS[self.name]]


def cache_directory() -> Path:
    """All that is kept of the systemd guest between runs; may not exist yet."""
    return paths.own_cache_dir() / "systemd-guest"


def missing_programs(find: Callable[[str], object | None] = which) -> dict[str, str]:
    """The programs that a guest needs and that are not installed: program → package."""
    return {program: package for program, package in _PROGRAMS.items() if find(program) is None}


def require_programs(find: Callable[[str], object | None] = which) -> None:
    """EmuError naming every program that is missing, and the packages that bring them."""
    if platform.machine() != "x86_64":
        raise EmuError(
            "cannot make a virtual machine here",
            f"it is {platform.machine()}, and the guest is built for x86_64 only",
            "run it on an x86_64 machine, or use the host itself: emu run --on host",
        )
    missing = missing_programs(find)
    if missing:
        raise EmuError(
            "cannot make or boot a virtual machine",
            f"not installed: {', '.join(missing)}",
            install_line(sorted(set(missing.values()))),
        )


def require_rights(distribution: Distribution) -> None:
    """EmuError where the root disk is not there yet and this user cannot make it."""
    if os.geteuid() != 0 and not (cache_directory() / "root" / recipe_key(distribution)).exists():
        raise EmuError(
            "cannot make the virtual machine's root disk",
            "only root can unpack a distribution with its owners and modes",
            "run it as root (sudo)",
        )


def this_distribution(root: Path = Path("/"), sources: Path | None = None) -> Distribution:
    """What the host is and where it gets its packages; `sources` overrides the latter. EmuError if that is unknown.

    Only the distribution's own sources are used: others may need keys or a network that the build does not have.
    """
    facts = {}
    release = root / "etc/os-release"
    if release.exists():
        lines = [line.partition("=") for line in release.read_text().splitlines()]
        facts = {key: value.strip("\"'") for key, _, value in lines}
    name, suite = facts.get("ID", ""), facts.get("VERSION_CODENAME", "")
    if name not in _KERNELS or not suite:
        raise EmuError(
            "cannot make the virtual machine's root disk",
            f"{release} says ID={name or '?'} VERSION_CODENAME={suite or '?'}; it is built from Debian or Ubuntu",
            "build it on a Debian or Ubuntu host, or in a container of one",
        )
    apt = root / "etc/apt"
    candidates = [sources] if sources else [apt / f"sources.list.d/{name}.sources", apt / "sources.list"]
    for candidate in candidates:
        if candidate.is_file() and any(
            line.startswith(("deb ", "Types:")) for line in candidate.read_text().splitlines()
        ):
            return Distribution(name, suite, candidate)
    raise EmuError(
        "cannot make the virtual machine's root disk",
        f"no package sources of {name} in {' or '.join(map(str, candidates))}",
        "name a sources.list or .sources file: python -m emu.sandbox.qemu build --sources FILE",
    )


def build_image(say: Say, *, sources: Path | None = None) -> GuestImage:
    """The root disk for this host's suite, made now if the cache does not have it: a minute and a gigabyte."""
    require_programs()
    distribution = this_distribution(sources=sources)
    require_rights(distribution)
    key = recipe_key(distribution)
    directory = cache_directory() / "root" / key

    def make(place: Path) -> None:
        say(
            f"making the guest's root disk from the packages of {distribution.name} {distribution.suite}, "
            "once: a download of some 200 MB, a minute or more"
        )
        _make_image(place, distribution)

    made_once(directory, make)
    return GuestImage(directory, python=(directory / "python").read_text().strip())


def recipe_key(distribution: Distribution) -> str:
    """What the root disk is made from, as a name. The day's package versions are not in it."""
    recipe = [
        distribution.name,
        distribution.suite,
        platform.machine(),
        *distribution.packages,
        *_listed("masked.txt"),
    ]
    overlay = GUEST_FILES / "rootfs"
    for path in sorted(overlay.rglob("*")):
        if path.is_file():
            recipe += [str(path.relative_to(overlay)), path.read_text()]
    return digest(recipe)


def python_packages(image: GuestImage, wanted: Sequence[str], say: Say) -> Path:
    """A disk with these packages for the guest's Python.

    Where the guest's Python has this one's minor version the byte code comes ready made.
    """
    disk = cache_directory() / "packages" / f"{image.python}-{digest([platform.machine(), *wanted])}.ext4"

    def make(place: Path) -> None:
        say(f"making the disk of Python packages for the guest's Python {image.python}, once: another download")
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            _install(wanted, image.python, Path(scratch))
            format_ext4(place, "emu-packages", 2 * 2**30, Path(scratch) / "packages")

    made_once(disk, make)
    return disk


def guest_requirements(pyproject: str) -> list[str]:
    """The project's dependencies and those of its extra `dev` that its tests need."""
    project = tomllib.loads(pyproject)["project"]
    dev: Sequence[str] = project.get("optional-dependencies", {}).get("dev", [])
    return sorted({*project.get("dependencies", []), *(name for name in dev if not name.startswith(_NOT_FOR_TESTS))})


def program_requirements(project: Path) -> list[str]:
    """What emu imports, as it is installed or, in a checkout that is not, as it says itself."""
    try:
        wanted = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        wanted = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    return sorted(one for one in wanted if "extra ==" not in one)


def format_ext4(disk: Path, label: str, size_bytes: int, content: Path | None = None) -> None:
    """A sparse ext4 of that size holding the files of `content`, made without mounting anything."""
    argv = [str(which("mkfs.ext4")), "-q", "-F", "-L", label, "-E", "lazy_itable_init=1,root_owner=0:0"]
    if content:
        argv += ["-d", str(content)]
    argv += [str(disk), f"{size_bytes // 1024}k"]
    command.run(
        argv,
        what=f"cannot make the guest's disk {label}",
        fix=f"see that {disk.parent} has free space",
    )


def format_swap(disk: Path, size_bytes: int) -> None:
    """A sparse file that the guest swaps to."""
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    disk.chmod(0o600)
    command.run(
        [str(which("mkswap")), "-q", "-L", "emu-swap", str(disk)],
        what="cannot make the guest's swap",
        fix=f"see that {disk.parent} has free space",
    )


def copy_sparse(disk: Path, to: Path) -> None:
    """A copy that takes no more room than what is in it; none at all where the file system can share blocks."""
    command.run(
        ["cp", "--sparse=always", "--reflink=auto", str(disk), str(to)],
        what=f"cannot copy the guest's disk {disk}",
        fix=f"see that {to.parent} has free space",
    )


def digest(parts: Iterable[str]) -> str:
    """A short name for these texts in this order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def made_once(artefact: Path, make: Callable[[Path], None]) -> None:
    """See that `artefact` is there: one process at a time has `make` write it under another name, and renames it.

    What was half made by a process that was killed, and neighbours unused for a month, are removed on the way.
    """
    artefact.parent.mkdir(parents=True, exist_ok=True)
    with locked(artefact.with_name(artefact.name + ".lock")):
        making = artefact.with_name(artefact.name + ".making")
        if not artefact.exists():
            remove(making)
            try:
                make(making)
                making.replace(artefact)
            finally:
                remove(making)
        os.utime(artefact)
    for path in artefact.parent.iterdir():
        if path.suffix != ".lock" and path.stat().st_mtime < time.time() - _UNUSED_S:
            remove(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A file, made if need be, or a directory, held by one process at a time.

    The kernel lets go of it when that process ends, however it ends.
    """
    fd = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_unlocked(directory: Path) -> bool:
    """Whether no process holds it with `locked`."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def remove(path: Path) -> None:
    """A file or a whole directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _make_image(place: Path, distribution: Distribution) -> None:
    place.mkdir()
    tree = place / "tree"
    # The overlay is a hook and not laid on afterwards: the initrd is made as the kernel's package is unpacked.
    hooks = [
        f'--essential-hook=cp -r {shlex.quote(str(GUEST_FILES / "rootfs"))}/. "$1"',
        '--customize-hook=chroot "$1" systemctl --quiet enable emu-job.service',
        '--customize-hook=chroot "$1" systemctl --quiet set-default multi-user.target',
        f'--customize-hook=chroot "$1" systemctl --quiet mask {" ".join(_listed("masked.txt"))}',
    ]
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(distribution.packages)}", *hooks]
    argv += [distribution.suite, str(tree), str(distribution.sources)]
    command.run(
        argv,
        what="cannot make the virtual machine's root disk",
        fix=f"see that the package sources in {distribution.sources} can be reached, then try again",
        timeout_s=_BUILD_DEADLINE_S,
        env=_plain_environment(os.environ),
    )
    (tree / "etc/machine-id").write_text("")  # systemd makes one at each boot
    (tree / "etc/hostname").write_text("emu-guest\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    for mount_point in ("job", "opt/emu-packages", "var/lib/docker"):
        (tree / mount_point).mkdir(parents=True, exist_ok=True)
    (place / "python").write_text((tree / "usr/bin/python3").readlink().name.removeprefix("python"))
    (newest_kernel,) = sorted((tree / "boot").glob("vmlinuz-*"))[-1:]
    shutil.copy(newest_kernel, place / "vmlinuz")
    shutil.copy(newest_kernel.with_name(newest_kernel.name.replace("vmlinuz", "initrd.img")), place / "initrd")
    format_ext4(place / "root.ext4", "emu-root", _ROOT_BYTES, tree)
    shutil.rmtree(tree)


def _install(wanted: Sequence[str], python: str, scratch: Path) -> None:
    """For another Python than this one, what comes only as source is first built here, into pure wheels."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    what = "cannot install the Python packages of the guest"
    fix = f"see that {sys.executable} has pip and that it reaches its package index"
    into = ["install", "--no-warn-script-location", "--target", str(scratch / "packages")]
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        command.run([*pip, "wheel", "--wheel-dir", str(scratch / "wheels"), *wanted], what=what, fix=fix)
        into += ["--python-version", python, "--only-binary=:all:", "--find-links", str(scratch / "wheels")]
    command.run([*pip, *into, *wanted], what=what, fix=fix)


def _plain_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Without what would speak of the host's user or languages inside the new root."""
    kept = {name: value for name, value in env.items() if not name.startswith(("LC_", "PYTHON"))}
    return {**kept, "LANG": "C.UTF-8", "HOME": "/root"}


def _listed(name: str) -> list[str]:
    lines = (GUEST_FILES / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
