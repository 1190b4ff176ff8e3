"""Builds images/ in order, from the distribution's packages and PyPI; no image registry is asked.

Two steps, because the second may happen where there is no network (the sandbox). `prepare` makes what needs
the network, once, into the user's cache: the base's root file system (mmdebstrap, from this machine's own package
sources) and the Python packages that the daemons import. `ensure` builds from these whatever image the engine
lacks or has from an older source; an image carries a digest of all it was built from as a label.
"""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
import shutil
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import emu
from emu.errors import EmuError
from emu.machine import command
from emu.machine.paths import images_dir, own_cache_dir
from emu.machine.unfinished import alone, unfinished
from emu.runtime.api import LABEL_DIGEST

BASE, APP, QUEUE_PROXY = "emu/base", "emu/app", "emu/queue-proxy"
_RECIPE = 1
"""Counts up when the way of making the root file system changes, so that caches are made again."""
_DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "coreutils", "dash", "libc-bin")
_PYTHON_PACKAGES = ("h2", "uvloop")
_NOT_NEEDED = "usr/share/doc usr/share/locale usr/share/man usr/share/i18n usr/lib/*/gconv usr/bin/perl*"
_LINKS = 'for d in bin sbin lib lib64; do [ -e "$1/$d" ] || [ ! -d "$1/usr/$d" ] || ln -s "usr/$d" "$1/$d"; done'
"""What base-files brings since Debian 13 and Ubuntu 24.04; before, packages had files there themselves."""
_CODE = ("__init__.py", "messages", "policy", "daemon")
"""What containers import of emu; see tests/unit/test_layout.py."""
_MINUTES_S = 900.0
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Artifacts:
    """What `prepare` made."""

    rootfs: Path
    """The base's root file system, a tar."""
    site_packages: Path
    """The Python packages for the base's Python."""
    key: str


def prepare(progress: Progress = lambda _: None) -> Artifacts:
    """Make, or find in the cache, what needs the network. EmuError when a tool is absent or a mirror fails."""
    suite = _suite()
    key = _digest(str(_RECIPE), suite, platform.machine(), *_DEBIAN_PACKAGES, *_PYTHON_PACKAGES)[:16]
    home = own_cache_dir() / "images" / key
    if not (home / "complete").exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with alone(home.parent / ".lock", lambda: progress("waiting for another emu that makes the images' base")):
            # Asked again under the lock: whoever held it may have made it.
            if not (home / "complete").exists():
                _make(home, suite, progress)
    return Artifacts(home / "rootfs.tar", home / "site-packages", key)


def _make(home: Path, suite: str, progress: Progress) -> None:
    with unfinished(home.parent) as scratch:
        progress(f"making the base root file system from {suite}'s packages")
        _make_rootfs(suite, scratch / "rootfs.tar")
        progress("fetching the Python packages that the containers import")
        _fetch_packages(_python_version(scratch / "rootfs.tar"), scratch / "site-packages")
        (scratch / "complete").touch()
        # mkdtemp(3) made it for its owner alone; who builds images in a guest is another user.
        scratch.chmod(0o755)
        if home.exists():
            shutil.rmtree(home)
        scratch.rename(home)


def _make_rootfs(suite: str, target: Path) -> None:
    clean = " ".join(f'"$1"/{pattern}' for pattern in _NOT_NEEDED.split())
    sources = [
        str(path)
        for path in (
            Path("/etc/apt/sources.list"),
            Path("/etc/apt/sources.list.d/debian.sources"),
            Path("/etc/apt/sources.list.d/ubuntu.sources"),
        )
        if path.exists() and path.read_text(errors="replace").strip()
    ]
    words = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--include={','.join(_DEBIAN_PACKAGES)}",
        f"--extract-hook={_LINKS}",
        f"--extract-hook=rm -rf {clean}",
        '--extract-hook=for d in "$1"/usr/lib/python3.*; do '
        'chroot "$1" /usr/bin/python3 -m compileall -q "${d#"$1"}"; done',
        suite,
        str(target),
        *sources,
    ]
    what = "cannot make the base image's root file system"
    fix = "install mmdebstrap (apt-get install mmdebstrap) and see that apt-get update works on this machine"
    try:
        env = {**os.environ, "TMPDIR": str(target.parent)}
        command.run(words, what=what, fix=fix, timeout_s=_MINUTES_S, env=env, umask=0o022)
    except EmuError as error:
        if "chroot mode" not in error.why:
            raise
        raise EmuError(
            what,
            f"mmdebstrap can unpack one only as root, or as a user with a range of user ids of its own, and uid "
            f"{os.geteuid()} has none",
            f"give it one (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {_user()}; package "
            "uidmap), or run it as root",
        ) from error


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "USER"


def _fetch_packages(python_version: str, target: Path) -> None:
    machine = platform.machine()
    command.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            str(target),
            "--python-version",
            python_version,
            "--implementation",
            "cp",
            "--platform",
            f"manylinux2014_{machine}",
            "--platform",
            f"manylinux_2_17_{machine}",
            "--platform",
            f"manylinux_2_28_{machine}",
            "--only-binary=:all:",
            "--no-compile",
            *_PYTHON_PACKAGES,
        ],
        what="cannot fetch the Python packages of the images",
        fix="see that pip can reach PyPI from here: pip download uvloop",
        timeout_s=_MINUTES_S,
    )


def _python_version(rootfs: Path) -> str:
    with tarfile.open(rootfs) as archive:
        for name in archive.getnames():
            program = name.removeprefix("./")
            if program.startswith("usr/bin/python3.") and program.count(".") == 1:
                return program.removeprefix("usr/bin/python")
    raise EmuError(
        "the base image's root file system has no Python",
        f"{rootfs} holds no usr/bin/python3.*",
        "remove the folder images in emu's cache and try again",
    )


def _suite() -> str:
    release = platform.freedesktop_os_release()
    suite = release.get("VERSION_CODENAME")
    if suite is None or shutil.which("apt-get") is None:
        raise EmuError(
            "cannot make the base image here",
            f"{release.get('PRETTY_NAME', 'this system')} is neither Debian nor Ubuntu, whose packages it needs",
            "run it on Debian 12 or newer, or on an Ubuntu with Python 3.11 or newer",
        )
    return suite


@dataclass(frozen=True)
class BuiltImage:
    """What `ensure` found or did."""

    tag: str
    built: bool
    digest: str


class ImageBuilder(Protocol):
    """Knows which images there are, and builds one from files, with labels."""

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """An image's labels; None where there is no such image."""

    def build(self, tag: str, files: Mapping[str, Path | bytes], labels: Mapping[str, str]) -> None:
        """Build an image, in place of one with this name."""


def ensure(
    engine: ImageBuilder, artifacts: Artifacts, progress: Progress = lambda _: None, *, rebuild: bool = False
) -> list[BuiltImage]:
    """See that the engine has our three images, built from today's sources; builds what is missing."""
    done: list[BuiltImage] = []
    parent = artifacts.key
    for tag in (BASE, APP, QUEUE_PROXY):
        files = _context(tag, artifacts)
        digest = digest_of(parent, files)
        if tag == BASE:
            parent = digest
        labels = engine.image_labels(tag)
        stale = rebuild or labels is None or labels.get(LABEL_DIGEST) != digest
        if stale:
            progress(f"building the image {tag}")
            engine.build(tag, files, {LABEL_DIGEST: digest})
        done.append(BuiltImage(tag, stale, digest))
    return done


def _context(tag: str, artifacts: Artifacts) -> Mapping[str, Path | bytes]:
    folder = images_dir() / tag.removeprefix("emu/")
    files: dict[str, Path | bytes] = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    if tag == BASE:
        return {**files, "rootfs.tar": artifacts.rootfs}
    files |= source_files()
    if tag == APP:
        files["data/README"] = b"The app's files: a volume is mounted here, on the engine's own disk.\n"
    return {**files, "site-packages": artifacts.site_packages}


def source_files() -> dict[str, Path]:
    """What containers import of emu: name in the package's folder → file or folder."""
    package = Path(emu.__file__).parent
    return {f"emu/{name}": package / name for name in _CODE}


def digest_of(before: str, files: Mapping[str, Path | bytes]) -> str:
    """A digest of files and of what they stand on."""
    return _digest(before, *(f"{name}:{_content_digest(what)}" for name, what in sorted(files.items())))


def _content_digest(what: Path | bytes) -> str:
    if isinstance(what, bytes):
        return _digest(what.decode())
    if what.name in ("rootfs.tar", "site-packages"):
        return "by key"
    if what.is_file():
        return hashlib.sha256(what.read_bytes()).hexdigest()
    return _digest(*(f"{path.relative_to(what)}:{_content_digest(path)}" for path in sorted(what.rglob("*.py"))))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
