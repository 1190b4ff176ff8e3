"""A headless Chromium, driven over its DevTools protocol: one browser, a page at a time."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

DEADLINE_S = 120.0
_DRAWN = "document.documentElement.dataset.drawn !== undefined"
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip


def chromium() -> str | None:
    """The program, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The condition's value as soon as it is true; AssertionError after the deadline."""
    until = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < until, f"never came: {what}"
        time.sleep(0.05)
    return value


def _connected(address: str) -> ClientConnection:
    """Its socket. A browser that is busy answers no ping, and is none the worse for it."""
    return connect(address, max_size=None, open_timeout=DEADLINE_S, ping_interval=None)


class Browser:
    """The process, and the tab in which pages are opened."""

    def __init__(self, program: str, folder: Path) -> None:
        argv = [program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        said = folder / "DevToolsActivePort"
        wait_for(lambda: said.exists() and "\n" in said.read_text(), "the browser's port")
        port, path = said.read_text().split("\n")[:2]
        self._open = ExitStack()
        address = f"ws://127.0.0.1:{port}{path}"
        self._socket: ClientConnection = self._open.enter_context(_connected(address))
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.complaints: list[str] = []
        """Errors of the console, and what broke."""
        self.requests: list[str] = []
        """Addresses that were asked for."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command; its result. Events that come meanwhile are noted."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **session}))
        while True:
            said = json.loads(self._socket.recv(timeout=DEADLINE_S))
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result
            self._note(said.get("method"), said.get("params") or {})

    def _note(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, path: Path, width: int = 1280, *, dark: bool = False, touch: bool = False) -> None:
        """Open a page from the disk, and wait until its figure is drawn."""
        self.complaints.clear()
        self.requests.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        for url, there in (("about:blank", "true"), (path.resolve().as_uri(), _DRAWN)):
            self.call("Page.navigate", url=url)
            here = f"location.href === {json.dumps(url)} && document.documentElement !== null && {there}"
            wait_for(lambda asked=here: self._is(asked), f"{url}, drawn")

    def _is(self, expression: str) -> bool:
        """Whether it is true of the page; not of one that was left while it was asked."""
        try:
            return bool(self.js(expression))
        except AssertionError:
            return False

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def center(self, selector: str) -> tuple[float, float]:
        """The middle of an element, once it is scrolled into sight."""
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return x, y

    def mouse(self, *points: tuple[float, float]) -> None:
        """Press at the first point, drag over the others, let go at the last."""
        for kind, (x, y) in [
            ("mouseMoved", points[0]), ("mousePressed", points[0]),
            *(("mouseMoved", point) for point in points[1:]), ("mouseReleased", points[-1]),
        ]:  # fmt: skip
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def touch(self, *points: tuple[float, float]) -> None:
        """A finger goes down at the first point, over the others, and up."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": points[0][0], "y": points[0][1]}])
        for x, y in points[1:]:
            self.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        wait_for(self._stands_still, "the page to stand still, as after a swipe it rolls on")

    def _stands_still(self) -> bool:
        two_frames = "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
        still: bool = self.js(
            f"(async () => {{ const y = scrollY; for (let i = 0; i < 8; i += 1) await {two_frames}; "
            "return scrollY === y; })()"
        )
        return still

    def key(self, key: str, *, shift: bool = False) -> None:
        """A key goes down and up."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=8 if shift else 0, **text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=8 if shift else 0, **code)

    def picture(self, path: Path) -> None:
        """The whole page as a picture."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        said = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(said["data"]))

    def close(self) -> None:
        """End it."""
        self._open.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
