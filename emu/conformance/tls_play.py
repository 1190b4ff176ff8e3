"""What a case says of the handshake, of the end, and of a certificate that is replaced: played and compared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from emu.conformance.case import Case, Renew
from emu.conformance.tls import CERT_NAME, RefusedError, TlsStream, encoded, make_pair, mount
from emu.errors import EmuError
from emu.machine import command

KNATIVE_FOLDER = Path("/var/lib/knative/certs")
"""Where queue-proxy has its certificate (knative/serving pkg/queue, CertDirectory)."""
SHAKE_S = 5.0
_MOUNT_S = 60.0
_LOOK_S = 0.1


@dataclass(frozen=True)
class TlsPort:
    """Where the proxy speaks TLS."""

    port: int
    folder: Path | None = None
    """Its mounted certificate; None where only the proxy knows it."""
    reload_s: float = 70.0
    """A certificate that was replaced is used by then."""


@contextmanager
def pair() -> Iterator[Path]:
    """A folder with a certificate and its key, gone afterwards. EmuError without openssl."""
    with TemporaryDirectory(prefix="emu-certs-") as made:
        make_pair(Path(made))
        yield Path(made)


def seeing(program: str, folder: Path) -> list[str]:
    """The command that runs a program which sees this folder where Knative mounts certificates, and nobody else does:
    in a mount namespace of its own, of which nothing stays. EmuError where there can be none.
    """
    below = KNATIVE_FOLDER.parents[1]
    fix = "run as root, or start the program yourself and play with --target and --tls-port"
    if Path(program).resolve().is_relative_to(below):
        raise EmuError(f"cannot mount a certificate for {program}", f"it could not be seen below {below} then", fix)
    own_user = () if os.geteuid() == 0 else ("--map-root-user",)
    mounts = f'mount -t tmpfs tmpfs {below} && mkdir -p {KNATIVE_FOLDER} && mount --bind "$1" {KNATIVE_FOLDER}'
    words = ["unshare", *own_user, "--mount", "sh", "-c", f'{mounts} && exec "$2"', "sh", str(folder)]
    what = f"cannot mount a certificate for {program} alone"
    command.run([*words, "true"], what=what, fix=fix, timeout_s=_MOUNT_S)
    return [*words, program]


async def shaken(stream: TlsStream, case: Case, faults: list[str]) -> bool:
    """Whether the handshake was done; what the case says of it is compared."""
    try:
        async with asyncio.timeout(SHAKE_S):
            await stream.shake()
    except RefusedError as refused:
        if case.alert is None or str(refused) != case.alert:
            wanted = "" if case.alert is None else f", not {case.alert!r}"
            faults.append(f"the handshake failed with the alert {str(refused)!r}{wanted}")
        return False
    except TimeoutError:
        faults.append(f"the handshake did not end within {SHAKE_S:.0f} s")
        return False
    agreed, wanted_agreed = stream.agreed(), case.agreed
    if case.alert is not None:
        faults.append(f"the handshake did not fail, but ended in {agreed}")
        return False
    if wanted_agreed.version is not None and agreed.version != wanted_agreed.version:
        faults.append(f"{agreed.version} was agreed, not {wanted_agreed.version}")
    if wanted_agreed.suite is not None and agreed.suite != wanted_agreed.suite:
        faults.append(f"{agreed.suite} was agreed, not {wanted_agreed.suite}")
    if agreed.protocol != wanted_agreed.protocol:
        faults.append(f"the protocol {agreed.protocol} was agreed, not {wanted_agreed.protocol}")
    return True


async def ended(stream: TlsStream, case: Case, faults: list[str]) -> None:
    """Compare how the connection ended with what the case says."""
    if case.notified is not None and stream.notified != case.notified:
        faults.append(f"the connection ended {'with' if stream.notified else 'without'} close_notify")


async def renew(host: str, tls: TlsPort, case: Case, stream: TlsStream, faults: list[str]) -> None:
    """Replace the certificate, and wait until who connects gets it, or long enough where it is none."""
    assert tls.folder is not None and case.tls is not None
    before, bad = stream.certificate(), case.renew is Renew.CERT_ALONE
    with TemporaryDirectory(prefix="emu-certs-") as made:
        make_pair(Path(made))
        file = tls.folder / CERT_NAME
        kept = file.read_bytes()
        if bad:
            file.write_bytes((Path(made) / CERT_NAME).read_bytes())
        else:
            mount(Path(made), tls.folder)
        until = time.monotonic() + tls.reload_s
        shown = await _shown(host, tls, case)
        while shown == before and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)
            shown = await _shown(host, tls, case)
        if shown != (before if bad else encoded(Path(made))):
            faults.append("a new connection gets no certificate" if shown is None else "… gets another certificate")
        if bad:
            file.write_bytes(kept)


async def _shown(host: str, tls: TlsPort, case: Case) -> bytes | None:
    """The certificate that a new connection gets; None where the handshake fails."""
    assert case.tls is not None
    stream = TlsStream(*await asyncio.open_connection(host, tls.port), case.tls)
    try:
        with contextlib.suppress(RefusedError):
            await stream.shake()
            return stream.certificate()
        return None
    finally:
        stream.close()
