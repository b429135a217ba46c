"""A server that listens: uvicorn, with connections that say nothing cut."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bakeoff.errors import BakeoffError, StoreError
from bakeoff.serve.http.app import make_app
from bakeoff.serve.options import ServeOptions
from bakeoff.serve.state import State

_MAX_CONNECTIONS = 512


def _protocol(idle_seconds: float) -> type[H11Protocol]:
    """The HTTP protocol, on whose connections a request must begin within so many seconds."""

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(idle_seconds, self._cut, None)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # uvicorn's own timer ends with the first byte, however slowly others follow.
            self._timer.cancel()
            self._timer = self.loop.call_later(idle_seconds, self._cut, self.cycle)

        def _cut(self, last: Any) -> None:
            """Ends the connection if no request has begun after ``last``."""
            is_idle = last is None or last.response_complete
            if self.cycle is last and is_idle and not self.transport.is_closing():
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()
            super().connection_lost(exc)

    return Impatient


class _Listener(uvicorn.Server):
    """That ends well where it is asked to: uvicorn's own dies of the signal once it has stopped."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)


class Server:
    """One server.

    Args:
        options: see ``ServeOptions``.
        ready: called with the address when requests are answered.

    Raises:
        ConfigError: it must not or cannot start so.
    """

    def __init__(self, options: ServeOptions, ready: Callable[[str], None] | None = None) -> None:
        options.check()
        self.options = options
        self.state = State(options)
        self._ready = ready
        config = uvicorn.Config(
            make_app(self.state),
            host=options.host,
            port=options.port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="on",
            http=_protocol(options.idle_seconds),
            ws="none",
            timeout_keep_alive=max(1, int(options.idle_seconds)),
            timeout_graceful_shutdown=max(1, int(options.drain_seconds)),
            limit_concurrency=_MAX_CONNECTIONS,
            h11_max_incomplete_event_size=1 << 16,
        )
        self._server = _Listener(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serves until SIGTERM, after which it returns, or SIGINT; running answers are finished.

        Raises:
            BakeoffError: nothing could be loaded, or the address is taken.
        """
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            self._server.run()
        except SystemExit:
            raise StoreError(
                f"--port {self.options.port}: {self.options.host} cannot be listened on there; "
                "give another port"
            ) from None
        self._must_listen()
        self._raise()

    def _watch(self) -> None:
        self.state.wait()
        if self.state.failure is not None:
            self._server.should_exit = True
        elif self._ready is not None:
            while not self._server.started and not self._server.should_exit:
                self.state.wait(0.01)
                threading.Event().wait(0.01)
            if self._server.started:
                self._ready(self.address)

    def _must_listen(self) -> None:
        if not self._server.started and self.state.failure is None:
            raise StoreError(f"{self.options.host}:{self.options.port} cannot be listened on")

    def _raise(self) -> None:
        failure = self.state.failure
        if failure is not None:
            raise failure if isinstance(failure, BakeoffError) else RuntimeError("loading failed")

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        port = self._server.servers[0].sockets[0].getsockname()[1]
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        """Serves from a thread, and waits until it is ready."""
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self.state.wait(0.1) and self._thread.is_alive():
            pass  # an end of the thread before anything is loaded says nothing of itself
        if self.state.failure is None:
            while not self._server.started and self._thread.is_alive():
                self._thread.join(0.01)
            self._must_listen()
        else:
            self.stop()
            self._raise()
        return self

    def stop(self) -> None:
        """Ends as SIGTERM does."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
