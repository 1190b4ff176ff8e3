"""HTTP/1 on the way through queue-proxy: a connection to the app, and both bodies streamed."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from emu.daemon.http import forward, http1
from emu.daemon.http.client import KnownAnswer, UpstreamConnection
from emu.daemon.http.exchange import ClientSide
from emu.daemon.http.overtaken import closing
from emu.daemon.http.turns import DISCARD_BYTES
from emu.daemon.queue_proxy import unhandled
from emu.daemon.queue_proxy.answer_writer import ANSWER_BUFFER_BYTES, AnswerWriter
from emu.daemon.queue_proxy.h1_request import Http1Request
from emu.daemon.queue_proxy.switching import Switch, SwitchError
from emu.policy.timeouts import TIMEOUT_STATUS

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.proxy import Proxy


class Http1Exchange(Http1Request):
    """One request in HTTP/1, and its answer to the client."""

    __slots__ = ("_switch", "_writer")

    def __init__(self, proxy: Proxy, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(proxy, conn, head)
        self._writer: AnswerWriter | None = None
        """The answer, once its head has come, unless all of it came at once."""
        self._switch: Switch | None = None
        """The app's answer was that it speaks another protocol from here on."""

    @property
    def begun(self) -> bool:
        return self._writer is not None or (self._switch is not None and self._switch.joined)

    def answered_here(self) -> bool:
        status = unhandled.status(self.head)
        if not status:
            return False
        if status == 417:
            self.head.keep_alive = False
        self.status = status
        last = self.conn.begin_answer(self)
        self.conn.write(unhandled.answer(status, self.head, last))
        self.finish(keep_alive=not last)
        return True

    # --- the answer, to the client

    def answer_whole(self, app: UpstreamConnection, known: KnownAnswer, data: bytes) -> bool:
        conn, head = self.conn, self.head
        if head.minor != 1 or not head.keep_alive or not self.body_done or self._informed or conn.server.stopping:
            return False
        now = time.monotonic()
        self._app = None  # before `finish`: no end of the request may drop a connection that is given back
        self.status = known.status
        self.sent_bytes = known.length
        conn.write(known.head + data[known.said_bytes :])
        self._proxy.app.give_back(app, now)
        self._proxy.admission.release(self, now)
        conn.finish(self, True)
        return True

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        self._may_repeat = False
        if status < 100:
            self.no_status(status)
            return
        if status < 200:
            self._informational(status, reason, headers)
            return
        self.status = status = self.final(status)
        closing = self.conn.begin_answer(self)
        if self._continue_timer is not None:
            self._continue_timer.cancel()
            self._continue_timer = None
            closing |= not self.body_done  # the body may never come
        answer = forward.answer(self.head, status, headers, closing)
        self._writer = AnswerWriter(answer)
        if self._reads_on and not answer.prompt and (answer.length or 0) <= ANSWER_BUFFER_BYTES:
            self.conn.hold_answer(self, http1.MAX_HEAD_BYTES)  # all of it waits in buffers for its handler's end
        self.wrote()

    @property
    def _reads_on(self) -> bool:
        """Whether the request is read while its answer goes out, so that the answer's end waits for it."""
        if not self.flowing or self.body_done or self.head.expects_continue:
            return False
        return self.conn.server.full_duplex or not self.head.keep_alive

    def _informational(self, status: int, reason: bytes, headers: http1.Headers) -> None:
        if status == 101:
            self._switch_to(reason, headers)
            return
        if not self.keeps_back(status):
            self._informed = True
            self.wrote()
            self.conn.write(forward.informational(status, headers, self.head.minor))
        if status == 100 and self._continue_timer is not None:
            self._continue_timer.cancel()
            self._take_expected()

    def answer_body(self, data: bytes) -> None:
        writer = self._writer
        assert writer is not None
        self.sent_bytes += len(data)
        writer.put_first(data, self._app is not None and self._app.whole)
        self.wrote()

    def answer_trailers(self, trailers: http1.Headers) -> None:
        if self._writer is not None and not self.over:
            self._writer.put_trailers(trailers)

    def answer_end(self, reusable: bool) -> None:
        app, self._app = self._app, None
        writer = self._writer
        assert writer is not None
        writer.put_head(b"", True)
        if self._reads_on:
            self._write(writer.take())
            self.conn.hold_answer(self, DISCARD_BYTES)  # its handler waits for the request's end
        writer.put_end()
        unsaid = self.conn.server.stopping and not writer.begun and self.head.minor
        said = writer.take()
        self._write(closing(said) if unsaid else said)  # where the server stopped while all of it was gathered
        if app is not None:
            if reusable and self.body_done:
                self._proxy.app.give_back(app, time.monotonic())
            else:
                app.drop()
        self.finish(keep_alive=not writer.head.last)

    def answer_pause(self) -> None:
        if self._writer is not None and not self.over:
            self._write(self._writer.take_due())

    def _write(self, data: bytes) -> None:
        if data and not self.over:
            self.conn.write(data)

    def connection_failed(self, why: Exception | None) -> None:
        app, self._app = self._app, None
        if self.over or app is None:
            return
        writer = self._writer
        if writer is not None:
            self._write(writer.take_broken())
            self.sent_bytes = 0
            self.answer_cut(str(why or "EOF"))
        elif self._may_repeat and app.silent:
            # A kept connection that the app closed just as we used it (net/http, shouldRetryRequest).
            self._may_repeat = False
            self.connect(time.monotonic())
        elif self.flowing and not self.body_done:
            self.broke_amid_body(app, why)
        else:
            self.app_broke(self.words_of(app, why))

    def full(self) -> None:
        if self._app is not None:
            self._app.pause()

    def ready(self) -> None:
        if self._app is not None:
            self._app.resume()

    # --- another protocol

    def _switch_to(self, reason: bytes, headers: http1.Headers) -> None:
        asked = b"" if self.way is None else self.way.upgrade
        try:
            self._switch = Switch(asked, reason, headers, self._proxy.tunnels)
        except SwitchError as failed:
            self.refuse_protocol(failed.words)
        else:
            self.status = 101

    def answer_switched(self, said: bytes) -> None:
        app, self._app = self._app, None
        if self.over or app is None or self._switch is None:
            return
        self._switch.join(*self.conn.hijack(self), app.hijack(), said, partial(self._proxy.admission.release, self))

    # --- ends

    def append_timeout(self) -> None:
        writer, body = self._writer, self.timeout_body
        if writer is None:
            if self._switch is not None:
                self._switch.cut()
            return
        answer = writer.head
        fits, whole = self.room_for_timeout(answer.length)
        if fits:
            self.sent_bytes += len(body)
        writer.put_late(body if fits else b"")
        self._write(writer.take())
        if whole and not self._cut_in_duplex:
            self.finish(keep_alive=not answer.last)
        else:
            self._proxy.admission.release(self)
            self.conn.end_short(self)

    @property
    def _cut_in_duplex(self) -> bool:
        """Whether the app is left amid the request's body in full duplex, which ends the client's connection."""
        amid = self.flowing and not self.body_done and not self.head.expects_continue
        return amid and self.conn.server.full_duplex

    def left_alone(self) -> None:
        if self.over or self.begun:
            super().left_alone()
            return
        if self._unsent is not None:
            self.app_broke(self._words_cut)
            return
        # Its handler returns without a word, and Go's server answers for it; one that waits for a place fails.
        self.abandoned()
        minor, status = self.head.minor, 500 if self.sent_at is None and self.way is not None else 200
        last = not self.head.keep_alive or (self.head.chunked and not self.body_done)
        length = http1.known_length(self.head, b"")
        self.conn.write(http1.answer_head(status, length, b"", http1.connection_value(minor, last), minor))
        self.conn.finish(self, False)

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """An answer of queue-proxy's own, whole."""
        self.status = status
        head = self.head
        last = self.conn.begin_answer(self)
        if head.expects_continue and head.content_length != 0 and not (self.flowing and self.body_done):
            last = True  # its body is not read
        self.sent_bytes = len(body)
        self.conn.write(http1.whole_answer(head, status, body, headers, last))
        self.finish(keep_alive=not (last or (status == TIMEOUT_STATUS and self._cut_in_duplex)))

    def leave_app(self) -> None:
        super().leave_app()
        if self._continue_timer is not None:
            self._continue_timer.cancel()
            self._continue_timer = None
        app, self._app = self._app, None
        if app is not None:
            app.drop()
