"""The report while its run goes on: a page of this machine that follows the run's folder.

Only this machine can reach it: the server listens on 127.0.0.1, answers requests whose ``Host``
says so (another site's name that was made to point here is refused), reads and never writes, and
knows the report's own files alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, Self

from bakeoff.errors import ConfigError

ADDRESS: Final = "127.0.0.1"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_SERVED: Final = re.compile(
    r"/(?:report\.html|report\.md|results\.json|figures/[A-Za-z0-9_-][A-Za-z0-9_.-]*\.(?:svg|png))"
)
_REPORT: Final = "/report.html"
_STATE: Final = "/state.json"
"""How far the study has come: not a file, but asked for at each request."""
_WATCHED_SECONDS: Final = 12.0
"""Readers that have asked within so many seconds are still looking."""
_POLL_SECONDS: Final = 0.05
_WAITING: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>bakeoff</title>"
    b"<p style='font:16px system-ui;margin:2rem'>Nothing is trained yet. This page fills as the "
    b"first epochs end."
)
# The page around the report is ours and holds one script and one style, named by their hashes.
_AROUND: Final = resources.files("bakeoff.report.live").joinpath("live.html").read_bytes()


def _hash_of(tag: bytes) -> str:
    found = re.search(rb"<" + tag + rb">(.*?)</" + tag + rb">", _AROUND, re.DOTALL)
    assert found is not None
    return base64.b64encode(hashlib.sha256(found[1]).digest()).decode("ascii")


_POLICY: Final = (
    f"default-src 'none'; script-src 'sha256-{_hash_of(b'script')}'; "
    f"style-src 'sha256-{_hash_of(b'style')}'; frame-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Server(ThreadingHTTPServer):
    """What the handlers share.

    Attributes:
        folder: the run's. state: says how far it has come.
        asked: when the state was last asked for, on the monotonic clock.
        has_ended: whether the last report is there. was_read: set once it has been read.
    """

    daemon_threads = True
    folder: Path
    state: Callable[[], Mapping[str, Any]]
    asked = float("-inf")
    has_ended = False
    was_read: Event

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that closes its connection is not an error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "bakeoff"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        port = self.server.server_address[1]
        hosts = {f"{ADDRESS}:{port}", f"localhost:{port}"}
        if self.headers.get_all("Host") is None or set(self.headers.get_all("Host", [])) - hosts:
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        path = self.path.partition("?")[0]
        if path == _STATE:
            self.server.asked = time.monotonic()
            state = {**self.server.state(), "has_ended": self.server.has_ended}
            self._send(json.dumps(state).encode("utf-8"), _TYPES[".json"], "", with_body=with_body)
            return
        if path == "/":
            self._send(_AROUND, _TYPES[".html"], _POLICY, with_body=with_body)
            return
        content = self._content(path)
        if content is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        # The report's own policy is in its page; here it may only be framed by us.
        kind = _TYPES[Path(path).suffix]
        is_last = self.server.has_ended  # before it is sent: another one may come meanwhile
        self._send(content, kind, "frame-ancestors 'self'", with_body=with_body)
        if path == _REPORT and with_body and is_last:
            self.server.was_read.set()

    def _content(self, path: str) -> bytes | None:
        if _SERVED.fullmatch(path) is None:
            return None
        folder = self.server.folder.resolve()
        try:
            place = (folder / path.removeprefix("/")).resolve(strict=True)
            if place.is_relative_to(folder) and place.is_file():
                return place.read_bytes()
        except OSError:
            pass
        return _WAITING if path == _REPORT else None

    def _send(self, content: bytes, kind: str, policy: str, *, with_body: bool) -> None:
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        unchanged = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK)
        self.send_header("ETag", tag)
        self._send_common(policy)
        if not unchanged:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body and not unchanged:
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self._send_common("default-src 'none'")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_common(self, policy: str) -> None:
        for name, value in (
            ("Content-Security-Policy", policy or "default-src 'none'"),
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Every other method, and what is not a request at all, ends here."""
        is_method = code == HTTPStatus.NOT_IMPLEMENTED
        self.close_connection = True
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED if is_method else HTTPStatus(code))

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is the run's."""


class LiveServer:
    """Serves a run's report while it is entered.

    Args:
        folder: the run's.
        port: zero takes a free one.
        state: says how far the study has come: ``text``, and what it is made of.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        state: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Takes the port.

        Raises:
            ConfigError: if it cannot be had.
        """
        try:
            self._server = _Server((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"--port {port}: cannot be listened on ({getattr(error, 'strerror', error)}); give "
                "another, or none to take a free one"
            ) from None
        self._server.folder = folder
        self._server.state = state
        self._server.was_read = Event()
        # It is how long the end waits for the thread; half a second by default.
        serving = partial(self._server.serve_forever, poll_interval=_POLL_SECONDS)
        self._thread = Thread(target=serving, name="live-page", daemon=True)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self._server.server_address[1]}/"

    def end(self, seconds: float = _WATCHED_SECONDS) -> None:
        """The last report is written: waits until it was read, where somebody is looking.

        Args:
            seconds: the longest wait.
        """
        self._server.has_ended = True
        if time.monotonic() - self._server.asked < _WATCHED_SECONDS:
            self._server.was_read.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
