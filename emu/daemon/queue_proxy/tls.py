"""The TLS port: Knative's certificate, looked at again each minute, with HTTP/2 and HTTP/1.1 to choose from."""

from __future__ import annotations

import asyncio
import os
import ssl

from emu.daemon.http.server import ALPN
from emu.daemon.queue_proxy.settings import CURVES, OLDER_SUITES, SettingsError, TlsSettings

RELOAD_S = 60.0
CERT_NAME, KEY_NAME = "tls.crt", "tls.key"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def mounted(folder: str) -> tuple[str, str] | None:
    """Where certificate and key are; None unless both are there."""
    cert, key = f"{folder}/{CERT_NAME}", f"{folder}/{KEY_NAME}"
    return (cert, key) if os.access(cert, os.F_OK) and os.access(key, os.F_OK) else None


def context(cert: str, key: str, wanted: TlsSettings) -> ssl.SSLContext:
    """For a server with this certificate. SettingsError for a curve that this OpenSSL does not have.

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


async def keep_fresh(made: ssl.SSLContext, cert: str, key: str) -> None:
    """Load the certificate again when its file has changed; a bad one leaves the old in place."""
    from pathlib import Path

    file = Path(cert)
    seen = file.stat().st_mtime_ns
    while True:
        await asyncio.sleep(RELOAD_S)
        try:
            now = file.stat().st_mtime_ns
            if now != seen:
                made.load_cert_chain(cert, key)
                seen = now
        except (OSError, ssl.SSLError):
            continue
