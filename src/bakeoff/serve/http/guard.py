"""What stands before every route: size and pace of requests, keys, names of this host.

Plain ASGI, so that a stream goes through as it is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from bakeoff.serve.http.faults import ApiError
from bakeoff.serve.options import LOOPBACK, ServeOptions

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Note = Callable[[str, str, int, float], None]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS: Final = frozenset(("/", "/health", "/ready"))
"""That need no key: whether it lives, and a page that asks for the key itself."""
REFUSED: Final = "refused"
"""In place of a route, which is not looked for before a request is let in."""
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
_PORT: Final = re.compile(r":\d+$")


class Guard:
    """Around an application.

    Args:
        app: what is guarded. options: the limits.
        note: called with what is refused here: method, route, status, seconds.
    """

    def __init__(self, app: App, options: ServeOptions, note: Note = lambda *_: None) -> None:
        self._app = app
        self._options = options
        self._note = note
        self._keys = [_digest(key.encode("ascii")) for key in options.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False
        started = time.monotonic()

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            # A client that takes nothing in is cut, and its rows leave.
            await asyncio.wait_for(send(message), self._options.idle_seconds)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
            await self._app(scope, _again(body, receive), sending)
        except (ApiError, TimeoutError) as error:
            if has_begun:
                return
            if not isinstance(error, ApiError):
                error = ApiError(408, "the request took too long", "timeout")
            self._note(scope["method"], REFUSED, error.status, time.monotonic() - started)
            await _refuse(error, sending)

    def _check(self, scope: Scope) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._options.is_local and not self._keys:
            # A page of another site must not reach it by a name that points here.
            host = _PORT.sub("", headers.get(b"host", b"").decode("latin-1")).strip("[]")
            if host not in LOOPBACK:
                raise ApiError(403, "this host is not served here", "wrong_host")
            origin = headers.get(b"origin", b"").decode("latin-1")
            named = re.fullmatch(r"https?://(.+)", origin)
            if origin and (named is None or _PORT.sub("", named[1]).strip("[]") not in LOOPBACK):
                raise ApiError(403, "requests of other sites are refused", "wrong_origin")
        if self._keys and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", b"")
            scheme, _, key = given.partition(b" ")
            digest = _digest(key.strip())
            # Every key is compared, each in constant time.
            matches = [hmac.compare_digest(digest, known) for known in self._keys]
            if scheme.lower() != b"bearer" or not any(matches):
                raise ApiError(401, "give a valid key as Authorization: Bearer KEY", "invalid_key")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, within its size and time."""
        most = self._options.max_body
        for name, value in scope["headers"]:
            if name.lower() == b"content-length" and value.isdigit() and int(value) > most:
                raise _too_large(most)
        parts, size = [], 0
        async with asyncio.timeout(self._options.idle_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ApiError(499, "the client has gone", "cancelled")
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes", "body_too_large")


def _digest(key: bytes) -> bytes:
    """Of one length, so that comparing tells nothing of a key's."""
    return hashlib.sha256(key).digest()


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that has been read, and then what comes after it."""
    given = False

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receiving


async def _refuse(error: ApiError, send: Send) -> None:
    content = json.dumps(error.body).encode("ascii")
    headers = {"content-type": "application/json", "content-length": str(len(content))}
    headers |= error.headers
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    # What is left of the body is not read: the connection ends.
    pairs.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
