"""A client over TLS for the cases: what it offers, what was agreed, the alert where nothing was; and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from pathlib import Path

from emu.conformance.case import Agreed, Hello, Pause
from emu.machine import command

CERT_NAME, KEY_NAME = "tls.crt", "tls.key"
READ_BYTES = 1 << 16
_RECORD_BYTES = 5
_OPENSSL_S = 60.0
_PAIR = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=app"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ALERT = re.compile(r"\balert ([a-z ]+)\b")


def make_pair(folder: Path) -> None:
    """A certificate and its key in this folder, by the names that Knative mounts. EmuError without openssl."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ["-keyout", str(folder / KEY_NAME), "-out", str(folder / CERT_NAME)]
    fix = "install openssl, or leave the cases over TLS out"
    command.run(["openssl", *_PAIR.split(), *files], what="cannot make a certificate", fix=fix, timeout_s=_OPENSSL_S)


def mount(made: Path, folder: Path) -> None:
    """Put a pair where the proxy looks, each file at once (as the kubelet does)."""
    for name in (KEY_NAME, CERT_NAME):
        beside = folder / f".{name}"
        beside.write_bytes((made / name).read_bytes())
        beside.replace(folder / name)


def encoded(folder: Path) -> bytes:
    """The certificate of a pair as it goes over the wire (DER)."""
    return ssl.PEM_cert_to_DER_cert((folder / CERT_NAME).read_text())


class RefusedError(Exception):
    """The handshake failed; the text is the alert's name, or empty where there was none."""


class TlsStream:
    """A connection over TLS: `reader` gives what was decrypted, and the rest is a StreamWriter's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello) -> None:
        self._wire, self._out = reader, writer
        self._hello = hello
        self._in, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _context(hello).wrap_bio(self._in, self._said, server_hostname=hello.server_name)
        self.reader = asyncio.StreamReader(limit=1 << 21)
        self.notified = False
        """Whether the other side said close_notify before its end."""
        self._pump: asyncio.Task[None] | None = None

    async def shake(self) -> None:
        """Do the handshake. RefusedError."""
        first = True
        while True:
            wants = False
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                wants = True
            except ssl.SSLError as refused:
                with contextlib.suppress(OSError):
                    await self._flush()
                raise RefusedError(alert_of(refused)) from None
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                await (self._flush_first() if first else self._flush())
            first = False
            if not wants:
                break
            await self._feed()
        self._pump = asyncio.create_task(self._decrypt())

    async def _flush_first(self) -> None:
        """The ClientHello, in the pieces that are asked for."""
        data, at = self._said.read(), 0
        if self._hello.records:
            data = in_records(data, self._hello.records)
        for cut in self._hello.cuts:
            if isinstance(cut, Pause):
                await asyncio.sleep(cut.seconds)
                continue
            self._out.write(data[at:cut])
            await self._out.drain()
            at = cut
        self._out.write(data[at:])
        await self._out.drain()

    async def _flush(self) -> None:
        self._out.write(self._said.read())
        await self._out.drain()

    async def _feed(self) -> None:
        try:
            data = await self._wire.read(READ_BYTES)
        except ConnectionResetError:
            data = b""
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    async def _decrypt(self) -> None:
        try:
            while True:
                try:
                    data = self._tls.read(READ_BYTES)
                except ssl.SSLWantReadError:
                    await self._feed()
                    continue
                if not data:
                    self.notified = True
                    break
                self.reader.feed_data(data)
        except ssl.SSLError:
            pass  # the connection ended, or an alert did it
        finally:
            self.reader.feed_eof()

    def agreed(self) -> Agreed:
        """What both sides chose."""
        cipher = self._tls.cipher()
        return Agreed(self._tls.version(), self._tls.selected_alpn_protocol(), cipher[0] if cipher else None)

    def certificate(self) -> bytes | None:
        """The other side's, as it went over the wire."""
        return self._tls.getpeercert(binary_form=True)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        self._tls.write(data)
        self._out.write(self._said.read())

    async def drain(self) -> None:
        await self._out.drain()

    def write_eof(self) -> None:
        """Say close_notify, and nothing more."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._out.write(self._said.read())

    def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        self._out.close()


def _context(hello: Hello) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = _VERSIONS.get(hello.least, ssl.TLSVersion.TLSv1_2)
    if hello.most:
        made.maximum_version = _VERSIONS[hello.most]
    if hello.protocols:
        made.set_alpn_protocols(list(hello.protocols))
    if hello.suites:
        made.set_ciphers(hello.suites)
    if hello.curve:
        made.set_ecdh_curve(hello.curve)
    return made


def in_records(data: bytes, most: int) -> bytes:
    """The same handshake message in so many records."""
    head, message = data[:3], data[_RECORD_BYTES:]
    size = -(-len(message) // most)
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(head + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def alert_of(refused: ssl.SSLError) -> str:
    """The name of the alert that came, as RFC 8446 has it; empty where the connection ended without one."""
    found = _ALERT.search(str(refused))
    return found[1].replace(" ", "_") if found else ""
