"""The app's readiness, asked of real sockets: how the probe is read, and in what words it fails."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from emu.daemon.queue_proxy import probe
from emu.daemon.queue_proxy.probe import ProbeError, Prober
from emu.daemon.queue_proxy.probe_spec import Readiness, decode


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _asked(given: dict[str, object], answer: bytes | None = None) -> tuple[bool, list[str]]:
    """Whether the app is ready, and what is said of it. It gives this answer to HTTP, if it is there."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"")
        writer.close()

    async def ask() -> tuple[bool, list[str]]:
        said: list[str] = []
        text = json.dumps(given)
        if answer is not None:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            text = text.replace('"PORT"', str(server.sockets[0].getsockname()[1]))
        ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        Prober(text, say=said.append).ask(ready.set_result)
        return await ready, said

    return asyncio.run(ask())


def test_what_failed_is_said_as_the_real_one_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """People look for these words: the last failure of many, and then that the time is over."""
    monkeypatch.setattr(probe, "AGGRESSIVE_LIMIT_S", 0.2)
    port = _closed_port()
    ready, (first, second) = _asked({"tcpSocket": {"host": "127.0.0.1", "port": port}})
    assert not ready
    assert first.startswith("aggressive probe error (failed ")
    assert first.endswith(f" times): dial tcp 127.0.0.1:{port}: connect: connection refused")
    assert second == "context deadline exceeded"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"exec": {"command": ["true"]}}, "exec probe not supported"),
        ({}, "no probe found"),
        (
            {"httpGet": {"host": "127.0.0.1", "port": 1}, "periodSeconds": 1},
            'error constructing probe url parse "://127.0.0.1:1/": missing protocol scheme',
        ),
        (
            {"grpc": {"port": 1}, "periodSeconds": 1},
            "health rpc did not complete within 0s: rpc error: code = DeadlineExceeded desc = context deadline "
            "exceeded",
        ),
        (
            {"grpc": {"port": 1}, "periodSeconds": 1, "timeoutSeconds": 60},
            'health rpc probe failed: rpc error: code = Unavailable desc = connection error: desc = "transport: '
            'Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"',
        ),
    ],
)
def test_what_cannot_be_asked_is_not_ready(given: dict[str, object], words: str) -> None:
    """And the words say why."""
    assert _asked(given) == (False, [words])


def test_a_status_is_named() -> None:
    """Only 200 to 399 is ready."""
    given: dict[str, object] = {
        "httpGet": {"host": "127.0.0.1", "port": "PORT", "scheme": "HTTP"}, "periodSeconds": 1, "timeoutSeconds": 60,
    }  # fmt: skip
    assert _asked(given, b"HTTP/1.1 500 x\r\n\r\n") == (
        False, ["HTTP probe did not respond Ready, got status code: 500"],
    )  # fmt: skip
    assert _asked(given, b"HTTP/1.1 302 x\r\n\r\n") == (True, [])


def test_nothing_is_filled_in() -> None:
    """The controller has done that; names are read in any case, null is nothing, and a port may be a text."""
    assert decode("{}", False) == [Readiness()]
    found = decode('{"HTTPGET":{"Port":"http","host":null},"tcpSocket":{},"TimeoutSeconds":3}', False)
    assert found == [Readiness("httpGet", port="http", timeout_s=3)]


@pytest.mark.parametrize(
    "text",
    [
        " ", "1", "null", "[]", '{"periodSeconds":"1"}', '{"periodSeconds":1.0}', '{"periodSeconds":true}',
        '{"periodSeconds":9999999999}', '{"httpGet":[]}', '{"httpGet":{"port":1.5}}', '{"httpGet":{"scheme":1}}',
        '{"httpGet":{"httpHeaders":{}}}', '{"exec":{"command":"x"}}', '{"grpc":{"port":"1"}}', '{"a":NaN}',
    ],
)  # fmt: skip
def test_another_type_is_refused(text: str) -> None:
    """As by encoding/json."""
    with pytest.raises(ProbeError, match="failed to parse readiness probe"):
        decode(text, False)
