"""Daemons as processes on loopback, ended whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.unit.daemon.daemon_wire import REQUIRED, Daemon, FakeApp, StartProxy, app_with
from tests.unit.daemon.loads import Runs


@pytest.fixture
def fake_app() -> Iterator[FakeApp]:
    """An app that the test serves by hand."""
    app = FakeApp()
    with closing(app):
        yield app


@pytest.fixture
def queue_proxy(fake_app: FakeApp) -> Iterator[StartProxy]:
    """Starts a queue-proxy in front of the fake app; keywords are environment variables."""
    with ExitStack() as stack:

        def start(**env: object) -> Daemon:
            variables = {
                **REQUIRED,
                "USER_PORT": str(fake_app.port),
                **{name: str(value) for name, value in env.items()},
            }
            return stack.enter_context(closing(Daemon("emu.daemon.queue_proxy", [], variables)))

        yield start


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Daemon, FakeApp]]:
    """A queue-proxy and its app for tests whose requests never get through, so that one serves them all."""
    app = FakeApp()
    daemon = Daemon("emu.daemon.queue_proxy", [], {**REQUIRED, "USER_PORT": str(app.port)})
    with closing(app), closing(daemon):
        yield daemon, app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Daemon]:
    """An app with an empty data directory at tmp_path."""
    with closing(app_with(tmp_path)) as daemon:
        yield daemon


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Runs plans, and ends what still runs."""
    with ExitStack() as stack:
        yield Runs(tmp_path, stack)
