"""A request to the app, and the work that it asks for, in the order that `emu.messages.work.Work` gives."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from emu.daemon import loop
from emu.daemon.app import work
from emu.daemon.app.child import Child, ChildError
from emu.daemon.app.memory import fill, reserve, touch
from emu.daemon.http import http1
from emu.daemon.http.exchange import ClientSide, Exchange
from emu.messages import METRICS_PATH
from emu.messages.work import Work
from emu.policy.app_metrics import AppMetrics

if TYPE_CHECKING:
    from emu.daemon.app.kernel_memory import KernelMemory

WORKERS = 16
"""Threads at most for files, memory and CPU; each is made when it is first needed."""
ANSWER_BLOCK = 64 * 1024
SLOW_TICK_S = TOUCHED_S = 0.1

_ok = b"ok" * (ANSWER_BLOCK // 2)


class App:
    """What all requests share."""

    def __init__(self, log: loop.Log) -> None:
        self.log = log
        self.pool = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="work")
        self.held: set[object] = set()
        """Memory that outlives its request."""
        self.metrics = AppMetrics()
        self._read_up_to: dict[str, int] = {}
        self._unhealthy_until = 0.0

    @property
    def healthy(self) -> bool:
        """What GET /healthz answers."""
        return time.monotonic() >= self._unhealthy_until

    def be_unhealthy(self, seconds: float | None) -> None:
        """Answer so for so long; None is for ever."""
        self._unhealthy_until = math.inf if seconds is None else time.monotonic() + seconds

    def exchange(self, conn: ClientSide, head: http1.Head) -> Exchange:
        """An exchange for a request that was read."""
        return AppExchange(self, conn, head)

    def read_on(self, what: str, size: int) -> int:
        """Where a request goes on to read what the last one had a part of: a file by its path, or all memory held."""
        begin = self._read_up_to.get(what, 0)
        self._read_up_to[what] = begin + size
        return begin

    def keep(self, memory: Any, release: Callable[[], None], seconds: float | None) -> None:
        """Hold on to memory for so long after its answer; None is for ever."""
        if seconds == 0:
            self._give_back(release)
            return
        self.held.add(memory)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self._let_go, memory, release)

    def _let_go(self, memory: Any, release: Callable[[], None]) -> None:
        self.held.discard(memory)
        self._give_back(release)

    def _give_back(self, release: Callable[[], None]) -> None:
        try:
            release()
        except BufferError:  # another request is touching it
            asyncio.get_running_loop().call_later(TOUCHED_S, self._give_back, release)


class AppExchange(Exchange):
    """One request and the work that it asks for."""

    __slots__ = (
        "_alone",
        "_answering",
        "_app",
        "_arrived_at",
        "_begun_at",
        "_credit_at",
        "_facts",
        "_gone",
        "_kernel",
        "_left",
        "_memory",
        "_release",
        "_task",
        "_timer",
        "_work",
    )

    def __init__(self, app: App, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(conn, head)
        self._app = app
        self._work = Work()
        self._alone = False
        """The client left, and the work continues."""
        self._answering = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._memory: Any = None
        self._release: Callable[[], None] = _nothing
        self._kernel: KernelMemory | None = None
        self._facts = b""
        self._gone = False
        self._left = 0
        self._arrived_at = time.monotonic()
        self._begun_at = 0.0
        self._credit_at = 0.0

    def _echo(self) -> None:
        """Switch to a websocket that echoes; it is loaded here, as most apps never see one."""
        from emu.daemon.http.websocket import Echo, accept_key

        key = next((value for name, value in self.head.headers if name.lower() == b"sec-websocket-key"), b"")
        transport, early = self.conn.hijack(self)
        transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_key(key)
        )
        Echo(transport, early)

    # --- arrival

    def begin(self) -> None:
        """Sort the work: what only sleeps or answers needs no task of its own."""
        path, _, query = self.head.target.partition(b"?")
        if self.head.upgrade.lower() == b"websocket":
            self._echo()
            return
        self.head.headers = []
        if path == b"/healthz":
            self._answer_line(*((200, "ok") if self._app.healthy else (503, "unhealthy")), counts=False)
            return
        if path == METRICS_PATH:
            self._answer_text(200, self._app.metrics.text())
            return
        self._app.metrics.under_way.add(self)
        try:
            self._work = asked = Work.from_query(query.decode("latin-1"))
            work.check(asked)
        except ValueError as wrong:
            self._answer_line(400, str(wrong))
            return
        except work.RefusedWorkError as refused:
            self._answer_line(refused.status, refused.line)
            return
        if self.head.expects_continue and asked.body != "ignore" and not self.body_done:
            self.conn.write(http1.CONTINUE)
        if (self.body_done and not self.held) or asked.body == "ignore":
            self._work_now()
        else:
            self._credit_at = time.monotonic()
            self.conn.take_body(self)

    def _work_now(self) -> None:
        asked = self._work
        self._begun_at = time.monotonic()
        if asked.unhealthy_for != 0:
            self._app.be_unhealthy(asked.unhealthy_for)
        if asked.blocks:
            self._task = asyncio.get_running_loop().create_task(self._guarded())
        else:
            self._sleep()

    # --- the request's body

    def body(self, data: bytes) -> None:
        """Count it against the rate; the pause that it earns keeps the rest in the kernel."""
        if self._work.body != "slow":
            return
        now = time.monotonic()
        self._credit_at = max(self._credit_at, now - SLOW_TICK_S) + len(data) / self._work.body_rate
        wait = self._credit_at - now
        if wait > 0 and self._timer is None:
            self.conn.take_body(self, False)
            self._timer = asyncio.get_running_loop().call_later(wait, self._read_on)

    def _read_on(self) -> None:
        self._timer = None
        self.conn.take_body(self)

    def body_end(self) -> None:
        """The body is complete: the work may continue."""
        self._work_now()

    # --- the work

    async def _guarded(self) -> None:
        try:
            await self._heavy()
        except work.RefusedWorkError as refused:
            self._fail(refused.status, refused.line)
        except ChildError as died:
            self._app.log.seldom("child-died", fate=str(died))
            self._fail(500, str(died))
        except OSError as failed:
            status = {errno.ENOENT: 404, errno.ENOSPC: 507}.get(failed.errno or 0, 500)
            self._fail(status, f"{failed.strerror or failed}: {failed.filename or 'memory'}")
        except MemoryError:
            self._fail(500, "no memory")
        else:
            self._task = None
            if self._gone:
                self._let_memory_go(self._work.hold_for)
            else:
                self._sleep()

    async def _heavy(self) -> None:
        asked = self._work
        steps = (
            (asked.read_file is not None, self._read_file),
            (asked.write_file is not None, self._write_file),
            (asked.hold > 0, self._hold),
            (asked.touch > 0, self._touch),
            (asked.is_of_the_kernel, self._hold_in_the_kernel),
            (asked.cpu > 0, partial(self._in_thread, work.burn, asked.cpu)),
        )
        for wanted, step in steps:
            if wanted and not self._gone:  # the client may leave during a step: the next one does not begin then
                await step()
        if isinstance(self._memory, Child) and asked.sleep and not self._gone:
            await self._memory.outlive(asked.sleep)

    async def _read_file(self) -> None:
        path, size = work.data_path(self._work.read_file or ""), self._work.read_bytes
        count = await self._in_thread(work.read_file, path, size, self._app.read_on(str(path), size))
        self._facts += b"X-Emu-Read-Bytes: %d\r\n" % count

    async def _write_file(self) -> None:
        path = work.data_path(self._work.write_file or "")
        count = await self._in_thread(work.write_file, path, self._work.write_bytes)
        self._facts += b"X-Emu-Written-Bytes: %d\r\n" % count

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await loop.in_thread(self._app.pool, function, *args)

    async def _hold(self) -> None:
        if self._work.child:
            child = Child(self._work.hold, self._work.hold_zeros)
            self._memory, self._release = child, child.release
            await child.start()
        else:
            space = reserve(self._work.hold)
            self._memory, self._release = space, space.close
            await self._in_thread(partial(fill, space, zeros=self._work.hold_zeros))

    async def _touch(self) -> None:
        held, size = [*self._app.held, self._memory], self._work.touch
        count = await self._in_thread(touch, held, size, self._app.read_on("", size), lambda: not self._gone)
        self._facts += b"X-Emu-Touched-Bytes: %d\r\n" % count

    async def _hold_in_the_kernel(self) -> None:
        from emu.daemon.app.kernel_memory import KernelMemory

        self._kernel = KernelMemory(self._work)
        await self._in_thread(self._kernel.take, work.a_folder())

    def _sleep(self) -> None:
        slept = isinstance(self._memory, Child)
        if self._work.sleep > 0 and not slept:
            self._timer = asyncio.get_running_loop().call_later(self._work.sleep, self._answer)
        else:
            self._answer()

    # --- the answer

    def _answer(self) -> None:
        self._timer = None
        if self._gone:
            return
        if self._alone:
            self._end_alone()
            return
        size = self._work.answer
        self._facts += b"X-Emu-Work-Seconds: %.6f\r\n" % (time.monotonic() - self._begun_at)
        if self._work.status in http1.NO_BODY:
            size = 0
        self._count(self._work.status)
        head = self._answer_head(self._work.status, size)
        self._left = 0 if self.head.method == b"HEAD" else size
        first = min(self._left, ANSWER_BLOCK)
        self._left -= first
        self._answering = True
        self.conn.write(head + _ok[:first])
        self.ready()

    def ready(self) -> None:
        """Write on, one block at a time, until the client has enough for now or for good."""
        if self._gone or not self._answering:
            return
        while self._left > 0:
            if self.conn.full:
                return
            block = min(self._left, ANSWER_BLOCK)
            self._left -= block
            self.conn.write(_ok[:block])
        self._answered()

    def _answer_head(self, status: int, size: int) -> bytes:
        last = self.conn.answers_last(self.head) or self._work.exit is not None
        connection = b"close" if last else b"keep-alive" if self.head.minor == 0 else b""
        return http1.answer_head(status, size, http1.TEXT + self._facts, connection)

    def _count(self, status: int) -> None:
        metrics = self._app.metrics
        metrics.under_way.discard(self)
        metrics.answered(self.head.method.decode("latin-1"), status, time.monotonic() - self._arrived_at)

    def _answer_line(self, status: int, line: str, *, counts: bool = True) -> None:
        if counts:
            self._count(status)
        self._answer_text(status, f"{line}\n".encode())

    def _answer_text(self, status: int, text: bytes) -> None:
        self.conn.write(self._answer_head(status, len(text)) + (b"" if self.head.method == b"HEAD" else text))
        self.conn.finish(self, not self.conn.answers_last(self.head))

    def _fail(self, status: int, line: str) -> None:
        self._task = None
        self._let_memory_go(0)
        if not self._gone:
            self._gone = True
            self._app.metrics.under_way.discard(self)
            if not self._alone:
                self._answer_line(status, line)

    def _answered(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._let_memory_go(self._work.hold_for)
        if self._work.exit is not None:
            self.conn.finish(self, False)
            self._app.log.event("exit", code=self._work.exit)
            _exit_when_written(self.conn, self._work.exit)
        else:
            self.conn.finish(self, not self.conn.answers_last(self.head))

    def _end_alone(self) -> None:
        """The work is done, and its answer is for no one."""
        self._gone = True
        self._app.metrics.under_way.discard(self)
        self._let_memory_go(self._work.hold_for)
        if self._work.exit is not None:
            self._app.log.event("exit", code=self._work.exit)
            os._exit(self._work.exit)

    def abandoned(self) -> None:
        """No client waits for the answer: sleep no longer, unless the work is detached. A thread finishes."""
        if self._work.detached and self._begun_at and not self._answering:
            self._alone = True
            return
        self._gone = True
        self._app.metrics.under_way.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None:  # a task lets the memory go when its thread has
            self._let_memory_go(self._work.hold_for)

    def _let_memory_go(self, seconds: float | None) -> None:
        memory, self._memory = self._memory, None
        release, self._release = self._release, _nothing
        if memory is not None:
            self._app.keep(memory, release, seconds)
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            self._app.keep(kernel, kernel.close, seconds)


def _nothing() -> None:
    pass


def _exit_when_written(conn: ClientSide, code: int) -> None:
    if conn.transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(0.005, _exit_when_written, conn, code)
        return
    os._exit(code)
