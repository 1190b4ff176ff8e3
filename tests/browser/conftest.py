"""The browser that all tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browser import Browser, chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests: to start it takes longer than the rest."""
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium (make test-browser does it where there is apt)")
    started = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()
