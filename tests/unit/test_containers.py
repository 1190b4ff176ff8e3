"""What is asked of Docker."""

from __future__ import annotations

import socket
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from emu.runtime.docker import Engine, EngineGone, memory_arguments
from emu.runtime.docker_images import _as_root, instructions

MIB = 2**20


def test_memory_and_swap_are_always_both_set() -> None:
    """With only a memory limit Docker would allow as much swap again, so the sum is always given."""
    assert memory_arguments(64 * MIB, 0) == {"mem_limit": 64 * MIB, "memswap_limit": 64 * MIB}
    assert memory_arguments(64 * MIB, 16 * MIB) == {"mem_limit": 64 * MIB, "memswap_limit": 80 * MIB}
    assert memory_arguments(64 * MIB, None) == {"mem_limit": 64 * MIB, "memswap_limit": -1}


@pytest.mark.parametrize(("kind", "mode", "becomes"), [("5", 0o700, 0o755), ("0", 0o600, 0o644), ("0", 0o700, 0o755)])
def test_an_image_s_files_are_open_to_its_user(kind: str, mode: int, becomes: int) -> None:
    """Also where emu was installed under a umask that lets nobody else read it."""
    entry = tarfile.TarInfo("emu/daemon")
    entry.type, entry.mode = kind.encode(), mode
    found = _as_root(entry)
    assert found is not None
    assert found.mode == becomes


def test_no_limit_sets_nothing() -> None:
    """Docker refuses a swap limit without a memory limit."""
    assert memory_arguments(None, 0) == {}


def test_an_image_s_configuration_is_written_as_docker_import_takes_it() -> None:
    """Signs that mean something in a Dockerfile are escaped; what is not set is left out."""
    config = {
        "Env": ["PATH=/bin", 'SAID=a "b" $c \\d', "EMPTY="],
        "Cmd": ["python3", "-c", "print('$HOME')"],
        "Entrypoint": None,
        "User": "65532:65532",
        "WorkingDir": "",
    }
    assert instructions(config, {"emu.run": "x"}) == [
        'ENV PATH="/bin"',
        'ENV SAID="a \\"b\\" \\$c \\\\d"',
        'ENV EMPTY=""',
        'CMD ["python3", "-c", "print(\'$HOME\')"]',
        "USER 65532:65532",
        'LABEL "emu.run"="x"',
    ]


@pytest.mark.parametrize(
    ("name", "repository", "version"),
    [
        ("emu/base", "emu%2Fbase", "latest"),
        ("emu/app:1", "emu%2Fapp", "1"),
        ("registry.example:5000/app", "registry.example%3A5000%2Fapp", "latest"),
    ],
)
def test_an_image_s_name_needs_no_tag(tmp_path: Path, name: str, repository: str, version: str) -> None:
    """As in `docker tag`: it is `latest` then, and a registry's port is none."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        asked: list[bytes] = []

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096).partition(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        engine = Engine()
        engine._client = docker.DockerClient(base_url=f"unix://{tmp_path}/engine.sock", version="1.41", timeout=240)
        engine.tag("sha256:1", name)
        answering.join()
    assert f"repo={repository}".encode() in asked[0]
    assert f"tag={version}".encode() in asked[0]


@pytest.fixture
def nobody(tmp_path: Path) -> Engine:
    """An engine that answered once, and whose socket is gone."""
    engine = Engine()
    engine._client = docker.DockerClient(base_url=f"unix://{tmp_path}/gone.sock", version="1.41")
    return engine


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: engine.state("x"),
        lambda engine: engine.stop("x", 1),
        lambda engine: engine.unpause("x"),
        lambda engine: engine.execute("x", ["true"], 1.0),
        lambda engine: engine.labelled("x"),
        lambda engine: engine.remove_volume("x"),
        lambda engine: list(engine.logs("x")),
        lambda engine: list(engine.events("x", lambda _: None)),
    ],
)
def test_whatever_is_asked_of_an_engine_that_is_gone_gets_one_error(
    nobody: Engine, ask: Callable[[Engine], Any]
) -> None:
    """EngineGone, with what was asked and the kernel's own word, in one line."""
    with pytest.raises(EngineGone) as caught:
        ask(nobody)
    assert caught.value.why.endswith(": No such file or directory")
    assert "\n" not in caught.value.why


def test_an_engine_that_hangs_is_gone_after_a_while(tmp_path: Path) -> None:
    """It takes the question, and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "hangs.sock"))
        listener.listen()
        engine = Engine()
        engine._client = docker.DockerClient(base_url=f"unix://{tmp_path}/hangs.sock", version="1.41", timeout=1)
        with pytest.raises(EngineGone, match="went away"):
            engine.state("x")


def test_an_engine_that_answers_again_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there is no answer, however long one waits; an answer is one at once."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    assert not Engine().await_back(0.0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                body = b'{"ApiVersion": "1.41"}'
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                connection.sendall(head % len(body) + body)

        answering = threading.Thread(target=answer)
        answering.start()
        assert Engine().await_back(60.0)
        answering.join()
