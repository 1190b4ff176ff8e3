"""How fast queue-proxy is, beside going direct and beside nginx, and what it weighs. JSON on standard output.

    python bench/queue_proxy.py [--rounds 5] [--seconds 2] [--soak 600] [--only protocols] [--real QUEUE_PROXY]

All are up at once on loopback: nginx that answers `return 200`, nginx with one worker as a reverse proxy that keeps
its connections, and queue-proxy with breaker, timers, statistics and Prometheus metrics on. wrk (Debian: wrk, nginx)
loads them in turn, so that a machine that others use is as slow for one as for the other; ratios are taken within a
round, and their median is reported. Memory is measured as `emu calibrate queue-proxy` does.

HTTP/2, TLS and bodies are in bench/protocols.py. `--real` takes the path of any queue-proxy binary, Knative's own for
one, and puts it beside ours there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import protocols
from protocols import whole

from emu.messages import QUEUE_PORT
from emu.run import calibrate
from emu.serving.template import queue_proxy_environment

UPSTREAM, NGINX = 18080, 18081
CONNECTIONS = (1, 32, 256)
VARIED_AT = 32
_VARIED = """
local count = 0
request = function()
  count = count + 1
  return wrk.format("GET", "/", {["X-Request-Id"] = count .. "-" .. tostring(wrk.thread)})
end
"""
"""Each request with a head of its own, as where a mesh or a tracer numbers them."""
PORTS = {"direct": UPSTREAM, "nginx": NGINX, "queue-proxy": QUEUE_PORT}
HELD = 5000
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}
_NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {body}
}}
"""
_SERVES = "server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 ok; }} }}"
_PASSES = """
upstream app {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
  location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
"""


@contextlib.contextmanager
def running(
    argv: list[str], port: int, env: dict[str, str] | None = None, grace_s: float = 5.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on a port."""
    process = subprocess.Popen(
        argv, env=env, stdout=subprocess.DEVNULL, stderr=None if grace_s else subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{argv[0]} does not serve port {port}") from None
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wrk(port: int, connections: int, seconds: float, script: str = "") -> dict[str, float]:
    """One burst: requests per second, p50 and p99 in microseconds; of whole seconds, for wrk knows no others."""
    argv = ["wrk", "-t1" if connections == 1 else "-t2", f"-c{connections}", f"-d{whole(seconds)}s", "--latency"]
    argv += ["-s", script] if script else []
    said = subprocess.run([*argv, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    found = {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])}  # type: ignore[index]
    for name in ("50", "99"):
        value, unit = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)\b", said).groups()  # type: ignore[union-attr]
        found[f"p{name}_us"] = float(value) * _UNITS[unit]
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"port {port} failed under {connections} connections:\n{said}")
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(rounds: int, seconds: float, pid: int, folder: str) -> dict[str, Any]:
    """Ratios at each number of connections; then with a head of its own for each request."""
    script = Path(folder) / "varied.lua"
    script.write_text(_VARIED)
    found = {str(count): compare_at(count, rounds, seconds, pid) for count in CONNECTIONS}
    found[f"{VARIED_AT}, each head another"] = compare_at(VARIED_AT, rounds, seconds, pid, str(script))
    return found


def compare_at(connections: int, rounds: int, seconds: float, pid: int, script: str = "") -> dict[str, Any]:
    """Medians, and ratios taken within a round; `cpu_us` is what queue-proxy used for a request."""
    bursts = []
    for _ in range(rounds):
        burst = {}
        for name, port in PORTS.items():
            before = cpu_seconds(pid)
            burst[name] = wrk(port, connections, seconds, script)
            if name == "queue-proxy":
                burst[name]["cpu_us"] = (cpu_seconds(pid) - before) / (burst[name]["rps"] * whole(seconds)) * 1e6
        bursts.append(burst)
    row: dict[str, Any] = {
        name: {key: round(statistics.median(burst[name][key] for burst in bursts), 1) for key in bursts[0][name]}
        for name in PORTS
    }
    ours = "queue-proxy"
    row["of_direct"] = spread([burst[ours]["rps"] / burst["direct"]["rps"] for burst in bursts])
    row["of_nginx"] = spread([burst[ours]["rps"] / burst["nginx"]["rps"] for burst in bursts])
    row["added_p50_us"] = spread([burst[ours]["p50_us"] - burst["direct"]["p50_us"] for burst in bursts])
    row["p99_of_nginx"] = spread([burst[ours]["p99_us"] / burst["nginx"]["p99_us"] for burst in bursts])
    return row


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)
    }  # fmt: skip


def soak(pid: int, seconds: float) -> dict[str, Any]:
    """256 connections for a while: memory and descriptors before, at the end, and after."""

    def look() -> dict[str, int]:
        text = Path(f"/proc/{pid}/status").read_text()
        anon = int(re.search(r"RssAnon:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]
        return {"anon_bytes": anon, "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}  # noqa: PTH208

    wrk(QUEUE_PORT, 256, 2)
    before, samples = look(), []
    load = subprocess.Popen(
        ["wrk", "-t1", "-c256", f"-d{whole(seconds)}s", f"http://127.0.0.1:{QUEUE_PORT}/"], stdout=subprocess.DEVNULL
    )
    while load.poll() is None:
        time.sleep(max(1.0, seconds / 60))
        samples.append(look())
    time.sleep(2)
    most = {key: max(sample[key] for sample in samples) for key in before}
    return {"seconds": seconds, "before": before, "most": most, "after": look()}


def left_behind(daemon: list[str]) -> int:
    """Anonymous bytes a while after all of HELD clients have hung up."""
    with calibrate.command(daemon, 0) as proxy:
        with calibrate.holding(proxy, "plain", HELD):
            time.sleep(2)
        time.sleep(3)
        return calibrate.memory(proxy)[0]


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each burst, in whole seconds and at least 1")
    parser.add_argument("--soak", type=float, default=0.0)
    parser.add_argument("--limit", type=int, default=300, help="containerConcurrency, so that the breaker counts")
    parser.add_argument("--only", choices=("small", "protocols"), help="one part")
    parser.add_argument("--case", default="", help="of the protocols, those with this in their name")
    parser.add_argument("--real", help="a queue-proxy binary to compare with")
    asked = parser.parse_args()
    protocols.need_tools()
    daemon = [sys.executable, "-m", "emu.daemon.queue_proxy"]
    result: dict[str, Any] = {}
    if asked.only != "small":
        with tempfile.TemporaryDirectory() as folder:
            result["protocols"] = protocols.measure(
                asked.rounds, asked.seconds, daemon, asked.real, Path(folder), running, asked.case
            )
    if asked.only != "protocols":
        result |= small(asked, daemon)
    print(json.dumps(result, indent=2))


def small(asked: argparse.Namespace, daemon: list[str]) -> dict[str, Any]:
    """Small requests in HTTP/1.1, and memory."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for name, body, port in (("upstream", _SERVES, UPSTREAM), ("nginx", _PASSES, NGINX)):
            config = Path(folder) / f"{name}.conf"
            inner = body.format(port=port, upstream=UPSTREAM)
            config.write_text(_NGINX.format(folder=folder, name=name, body=inner))
            stack.enter_context(running(["nginx", "-c", str(config), "-p", folder], port))
        env = queue_proxy_environment(asked.limit, UPSTREAM, "127.0.0.1", "bench")
        env["OBSERVABILITY_CONFIG"] = '{"requestMetrics":{"protocol":"prometheus"}}'
        env["EMU_DRAIN_QUIET_SECONDS"] = "0.1"
        proxy = stack.enter_context(running(daemon, QUEUE_PORT, {**os.environ, **env}))
        result["connections"] = compare(asked.rounds, asked.seconds, proxy.pid, folder)
        if asked.soak:
            result["soak"] = soak(proxy.pid, asked.soak)
    say = partial(print, file=sys.stderr)
    profile = calibrate.calibrate("own", "bench", partial(calibrate.command, daemon), [HELD], 2.0, say)
    result["idle_anon_bytes"] = profile.idle_anon_bytes
    result["bytes_per_request"] = {"requests": HELD, "plain": profile.request_bytes[0][1]}
    result["after_hang_up_anon_bytes"] = left_behind(daemon)
    return result


if __name__ == "__main__":
    main()
