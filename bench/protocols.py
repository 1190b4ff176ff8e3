"""How queue-proxy carries HTTP/2, TLS and bodies, beside nginx and any queue-proxy binary whose path is given.

Part of bench/queue_proxy.py. The app is nginx in HTTP/1.1 and in h2c; the peer is nginx with one worker, and asks it
in HTTP/1.1. Queue-proxies listen on the same ports, so each is started for its burst and ended after it: all kinds in
turn, ratios within a round. h2load (Debian: nghttp2-client) speaks HTTP/2, wrk HTTP/1.1.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from emu.daemon.http import h2_frames as frames
from emu.messages import QUEUE_PORT
from emu.serving.template import queue_proxy_environment

APP, APP_H2 = 18086, 18082
PEER, PEER_H2, PEER_TLS, PEER_TLS_H2 = 18087, 18083, 18084, 18085
QUEUE_TLS_PORT = 8112
CERTS = Path("/var/lib/knative/certs")
"""Where Knative's queue-proxy finds its certificate; without one there it is not compared over TLS."""
BODY_BYTES = 64 * 1024
HELD_CONNECTIONS, HELD_STREAMS = 10, 100
_NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; http2_max_concurrent_streams 1000;
  client_max_body_size 0; client_body_buffer_size 128k;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {body}
}}
"""
_SERVES = """
server {{ listen {port}{how} backlog=4096; root {folder}; location = / {{ return 200 ok; }}
  location = /take {{ {take} }} }}
"""
_PASSES = """
server {{ listen 127.0.0.1:{port}{how} backlog=4096; ssl_protocols TLSv1.3;
  ssl_certificate {certs}/tls.crt; ssl_certificate_key {certs}/tls.key;
  location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
"""


@dataclass(frozen=True)
class Case:
    """One kind of load. `options` are the tool's."""

    name: str
    options: tuple[str, ...]
    http2: bool = False
    tls: bool = False
    path: str = "/"
    body: bool = False


CASES = (
    Case("h2c, 1 connection, 1 stream", ("-c1", "-m1"), http2=True),
    Case("h2c, 4 connections, 16 streams", ("-c4", "-m16"), http2=True),
    Case("h2c, 32 connections, 8 streams", ("-c32", "-m8"), http2=True),
    Case("TLS and h2, 4 connections, 16 streams", ("-c4", "-m16"), http2=True, tls=True),
    Case("h2c, 4 x 16, bodies of 64 KiB", ("-c4", "-m16"), http2=True, path="/take", body=True),
    Case("h2c, 4 x 16, answers of 100 KB", ("-c4", "-m16"), http2=True, path="/100k"),
    Case("h2c, 4 x 4, answers of 1 MB", ("-c4", "-m4"), http2=True, path="/1m"),
    Case("HTTP/1.1, 32 connections, bodies of 64 KiB", ("-c32",), path="/take", body=True),
    Case("HTTP/1.1, 32 connections, answers of 100 KB", ("-c32",), path="/100k"),
    Case("HTTP/1.1, 32 connections, answers of 1 MB", ("-c32",), path="/1m"),
    Case("TLS, HTTP/1.1, 32 connections", ("-c32",), tls=True),
    Case("TLS, HTTP/1.1, 32 connections, answers of 100 KB", ("-c32",), tls=True, path="/100k"),
)
Running = Callable[..., contextlib.AbstractContextManager["subprocess.Popen[bytes]"]]
"""(argv, port, environment, seconds to end in) → the process, once it listens."""


def need_tools() -> None:
    """End with what to install where a client or the app is missing."""
    missing = [tool for tool in ("wrk", "nginx", "h2load") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"needs {' and '.join(missing)}: apt-get install wrk nginx-light nghttp2-client")


def measure(
    rounds: int, seconds: float, ours: Sequence[str], real: str | None, folder: Path, running: Running, only: str = ""
) -> dict[str, Any]:
    """All cases, or those with `only` in their name; and what a held stream weighs."""
    certs = certificates(folder)
    proxies = {"queue-proxy": list(ours)} | ({"real": [real]} if real else {})
    found: dict[str, Any] = {}
    files(folder)
    with app_and_peer(folder, certs, running) as peer:
        for case in CASES:
            if only in case.name:
                kinds = {name: argv for name, argv in proxies.items() if name != "real" or _can(case, certs)}
                found[case.name] = _compare(case, rounds, seconds, kinds, peer, folder, certs, running)
    if not only:
        found["bytes_per_stream"] = {name: _stream_bytes(argv, running) for name, argv in proxies.items()}
    return found


@contextlib.contextmanager
def app_and_peer(folder: Path, certs: Path, running: Running) -> Iterator[int]:
    """nginx as the app and as the peer; the process of the peer that does the work."""
    with contextlib.ExitStack() as stack:
        for name, body, port in (("app2", _app(folder), APP_H2), ("peer2", _peer(certs), PEER_TLS_H2)):
            config = folder / f"{name}.conf"
            user = "user root;" if os.geteuid() == 0 else ""
            config.write_text(_NGINX.format(folder=folder, name=name, body=body, user=user))
            stack.enter_context(running(["nginx", "-c", str(config), "-p", str(folder)], port))
        yield _worker(folder / "peer2.pid")


def whole(seconds: float) -> int:
    """A burst's length as the tools take it."""
    return max(1, round(seconds))


def _can(case: Case, certs: Path) -> bool:
    return not case.tls or certs == CERTS


def _compare(
    case: Case,
    rounds: int,
    seconds: float,
    kinds: dict[str, list[str]],
    peer: int,
    folder: Path,
    certs: Path,
    running: Running,
) -> dict[str, Any]:
    turns: list[dict[str, dict[str, float]]] = []
    for _ in range(rounds):
        turn = {"nginx": burst(case, peer_port(case), peer, seconds, folder)}
        for name, argv in kinds.items():
            port = QUEUE_TLS_PORT if case.tls else QUEUE_PORT
            with running(argv, port, environment(APP_H2 if case.http2 else APP, certs), 0) as process:
                turn[name] = burst(case, port, process.pid, seconds, folder)
        turns.append(turn)
    row: dict[str, Any] = {
        name: {key: round(statistics.median(turn[name][key] for turn in turns), 1) for key in turns[0][name]}
        for name in turns[0]
    }
    for other in row.keys() - {"queue-proxy"}:
        ratios = [turn["queue-proxy"]["rps"] / turn[other]["rps"] for turn in turns]
        row[f"of_{other}"] = {
            "median": round(statistics.median(ratios), 2), "min": round(min(ratios), 2), "max": round(max(ratios), 2)
        }  # fmt: skip
    return row


def burst(case: Case, port: int, pid: int, seconds: float, folder: Path) -> dict[str, float]:
    """Requests per second, and what CPU the process took for one, in microseconds."""
    url = f"{'https' if case.tls else 'http'}://127.0.0.1:{port}{case.path}"
    before = _cpu(pid)
    if case.http2:
        body = ["-d", str(folder / "body")] if case.body else []
        windows = ["-w20", "-W24"]
        argv = ["h2load", "-t1", f"-D{whole(seconds)}", *windows, *case.options, *body, url]
    else:
        script = ["-s", str(folder / "post.lua")] if case.body else []
        argv = ["wrk", "-t2", f"-d{whole(seconds)}s", *case.options, *script, url]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    used = _cpu(pid) - before
    if case.http2:
        fine = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said) is not None
        done, rate = re.search(r"(\d+) succeeded", said), re.search(r", ([\d.]+) req/s", said)
    else:
        fine = re.search("Non-2xx|Socket errors", said) is None
        done, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    if not fine or done is None or rate is None or not int(done[1]):
        raise SystemExit(f"{case.name}: port {port}: {' '.join(argv)} failed:\n{said}")
    return {"rps": float(rate[1]), "cpu_us": used / int(done[1]) * 1e6}


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def peer_port(case: Case) -> int:
    """Where nginx takes such requests."""
    return {(False, False): PEER, (True, False): PEER_H2, (False, True): PEER_TLS, (True, True): PEER_TLS_H2}[
        case.http2, case.tls
    ]


def environment(user_port: int, certs: Path, limit: int = 300) -> dict[str, str]:
    """A queue-proxy's; `limit` is containerConcurrency."""
    return {
        **os.environ,
        **queue_proxy_environment(limit, user_port, "127.0.0.1", "bench"),
        "OBSERVABILITY_CONFIG": '{"requestMetrics":{"protocol":"prometheus"}}',
        "EMU_DRAIN_QUIET_SECONDS": "0.1",
        "EMU_CERT_DIR": str(certs),
    }


def _app(folder: Path) -> str:
    # In HTTP/2 nginx refuses streams once it answered many whose bodies it did not read: these it passes on.
    passes = 'proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";'
    return (
        _upstream()
        + _SERVES.format(port=APP, how="", folder=folder, take="return 200 ok;")
        + _SERVES.format(port=APP_H2, how=" http2", folder=folder, take=passes)
    )


def _upstream() -> str:
    return f"upstream app {{ server 127.0.0.1:{APP}; keepalive 512; keepalive_requests 1000000000; }}"


def _peer(certs: Path) -> str:
    ports = ((PEER, ""), (PEER_H2, " http2"), (PEER_TLS, " ssl"), (PEER_TLS_H2, " ssl http2"))
    return _upstream() + "".join(_PASSES.format(port=port, how=how, certs=certs) for port, how in ports)


def _worker(pid_file: Path) -> int:
    """The process of nginx that does the work."""
    return psutil.Process(int(pid_file.read_text())).children()[0].pid


def files(folder: Path) -> None:
    """What the app answers with, and what is sent to it."""
    folder.chmod(0o755)
    (folder / "100k").write_bytes(b"x" * 100_000)
    (folder / "1m").write_bytes(b"x" * 1_000_000)
    (folder / "body").write_bytes(b"y" * BODY_BYTES)
    (folder / "post.lua").write_text(f'wrk.method = "POST"; wrk.body = string.rep("y", {BODY_BYTES})')


def certificates(folder: Path) -> Path:
    """The folder with a certificate: Knative's, or this one with a new one."""
    if (CERTS / "tls.crt").exists():
        return CERTS
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    where = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"), "-subj", "/CN=bench", "-days", "2"]
    subprocess.run([*new, *where], check=True, capture_output=True)
    return folder


# --- what a held stream weighs


def _stream_bytes(argv: list[str], running: Running) -> int:
    """Anonymous memory for each of a thousand requests that the app does not answer."""
    with _silent_app() as port, running(argv, QUEUE_PORT, environment(port, CERTS), 0) as process:
        time.sleep(1)
        before = _anon(process.pid)
        clients = []
        for _ in range(HELD_CONNECTIONS):
            client = socket.create_connection(("127.0.0.1", QUEUE_PORT))
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.settings_frame({}))
            pairs = [
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"app.example.com"),
                (b":path", b"/"),
            ]
            block = frames.encode([*pairs, (b"user-agent", b"bench")])
            client.sendall(b"".join(frames.head_frames(2 * at + 1, block, True, 16384) for at in range(HELD_STREAMS)))
            clients.append(client)
        time.sleep(2)
        held = _anon(process.pid)
        for client in clients:
            client.close()
        return (held - before) // (HELD_CONNECTIONS * HELD_STREAMS)


@contextlib.contextmanager
def _silent_app() -> Iterator[int]:
    """An app in h2c that takes requests and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def serve(connection: socket.socket) -> None:
        first = frames.settings_frame({frames.MAX_CONCURRENT_STREAMS: 1000})
        connection.sendall(first + frames.frame(frames.SETTINGS, frames.ACK, 0))
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with contextlib.closing(listener):
        yield int(listener.getsockname()[1])


def _anon(pid: int) -> int:
    found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0
