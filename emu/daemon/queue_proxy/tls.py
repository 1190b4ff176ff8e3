"""The TLS port: Knative's certificate, looked at again each minute, with HTTP/2 and HTTP/1.1 to choose from.

As pkg/queue/certificate does it: a certificate or key that has changed is taken if the two belong together, and
otherwise what was read last stays.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable

from emu.daemon.http.server import ALPN
from emu.daemon.queue_proxy.settings import CURVES, OLDER_SUITES, SettingsError, TlsSettings

RELOADED = "Certificate and/or key have changed on disk and were reloaded."
CERT_NAME, KEY_NAME = "tls.crt", "tls.key"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def mounted(folder: str) -> tuple[str, str] | None:
    """Where certificate and key are; None unless both are there."""
    cert, key = f"{folder}/{CERT_NAME}", f"{folder}/{KEY_NAME}"
    return (cert, key) if os.access(cert, os.F_OK) and os.access(key, os.F_OK) else None


def context(cert: str, key: str, wanted: TlsSettings) -> ssl.SSLContext:
    """For a server with this certificate. SettingsError for a curve that this OpenSSL does not have; OSError for
    files that cannot be read, or that hold no pair of certificate and key.

    One curve is the only one; of several, the ssl module has no way to pass them to OpenSSL.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS.get(wanted.min_version, ssl.TLSVersion.TLSv1_3)
    if wanted.max_version:
        made.maximum_version = _VERSIONS[wanted.max_version]
    made.set_alpn_protocols([name.decode() for name in ALPN])
    made.load_cert_chain(cert, key)
    older = [suite for name, suite in OLDER_SUITES.items() if name in (wanted.cipher_suites or OLDER_SUITES)]
    if older:  # those of TLS 1.3 cannot be chosen
        made.set_ciphers(":".join(older))
    if len(wanted.curve_preferences) == 1:
        _prefer(made, wanted.curve_preferences[0])
    return made


def _prefer(made: ssl.SSLContext, curve: str) -> None:
    try:
        made.set_ecdh_curve(CURVES[curve])
    except (ValueError, ssl.SSLError):
        raise SettingsError(
            f"QUEUE_PROXY_TLS_CURVE_PREFERENCES asks for {curve}, which {ssl.OPENSSL_VERSION} does not have"
        ) from None


class Watch:
    """The mounted certificate and key, and whether they are others than before."""

    def __init__(self, cert: str, key: str, wanted: TlsSettings) -> None:
        self._files = cert, key
        self._wanted = wanted
        self._taken: tuple[bytes, ...] = ()

    def first(self) -> ssl.SSLContext:
        """With what is mounted at the start. SettingsError."""
        try:
            made = self._changed()
        except OSError as failed:
            raise SettingsError(f"failed to create certWatcher: {failed}") from None
        assert made is not None
        return made

    async def follow(self, every_s: float, use: Callable[[ssl.SSLContext], None], say: Callable[[str], None]) -> None:
        """Pass on a context for each pair that comes later, and say so; say what is wrong of one each time."""
        while True:
            await asyncio.sleep(every_s)
            try:
                made = self._changed()
            except OSError as failed:
                say(f"failed to parse certificate: {failed}")
                continue
            if made is not None:
                use(made)
                say(RELOADED)

    def _changed(self) -> ssl.SSLContext | None:
        from pathlib import Path  # only who has a certificate pays for the import

        read = tuple(Path(file).read_bytes() for file in self._files)
        if read == self._taken:
            return None
        # A new context: loaded into the old one, half of a bad pair would stay there, and so would a certificate for
        # another kind of key.
        made = context(*self._files, self._wanted)
        self._taken = read
        return made
