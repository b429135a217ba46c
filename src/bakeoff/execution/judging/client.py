"""One request to a server that speaks OpenAI's chat completions, with a limit on everything."""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib import error, request
from urllib.parse import urlsplit, urlunsplit

from bakeoff.errors import ConfigError, EndpointError
from bakeoff.metrics.judge import JudgeOptions

Message = Mapping[str, str]
_MOST_BYTES: Final = 4_000_000
"""Of one answer."""
_LONGEST_WAIT: Final = 60.0
_PASSING: Final = frozenset({408, 409, 425, 429})
_NO_USE: Final = frozenset({401, 403, 404, 405})
_SHOWN: Final = 200


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model wrote; tokens are None where the server does not count them."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class CallFailedError(Exception):
    """One request got no answer, after all tries; the next may."""


class _PassingError(Exception):
    """A failure that another try may mend; ``wait`` is what the server asks for, in seconds."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirect would send the answers, and the key, to a place that the study does not name."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class ChatClient:
    """Asks one server; several threads may share it.

    Args:
        options: the study's. cancelled: ends the waiting between tries.

    Raises:
        ConfigError: the variable that is to hold the key is not set.
    """

    def __init__(self, options: JudgeOptions, cancelled: threading.Event | None = None) -> None:
        self._options = options
        self._cancelled = cancelled or threading.Event()
        self._address = _address_of(options.endpoint)
        self._key = ""
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if options.api_key_env is not None:
            key = os.environ.get(options.api_key_env, "").strip()
            if not key:
                raise ConfigError(
                    f"judge.api_key_env: the variable {options.api_key_env} is not set; set it to "
                    "the server's key, or leave api_key_env out"
                )
            self._key = key
            self._headers["Authorization"] = f"Bearer {key}"
        handlers: list[request.BaseHandler] = [_NoRedirect()]
        if _is_here(options.endpoint):
            handlers.append(request.ProxyHandler({}))  # no proxy stands before this machine
        self._opener = request.build_opener(*handlers)

    def ask(self, messages: Sequence[Message], permit: Callable[[], None]) -> Reply:
        """The model's answer to a conversation.

        Args:
            messages: of the conversation. permit: called before every request; it may raise.

        Raises:
            CallFailedError: no answer after all tries, or none to this conversation.
            EndpointError: no request can get one.
        """
        options = self._options
        wait = options.retry_seconds
        for left in range(options.retries, -1, -1):
            permit()
            try:
                return self._ask_once(messages)
            except _PassingError as failure:
                if not left:
                    tries = f"{options.retries + 1} tries, the last: " if options.retries else ""
                    raise CallFailedError(f"{tries}{failure}") from None
                pause = wait if failure.wait is None else max(wait, failure.wait)
                if self._cancelled.wait(min(pause, _LONGEST_WAIT)):
                    raise CallFailedError("the run was asked to stop") from None
                wait *= 2.0
        raise AssertionError("the last try returns or raises")

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """What is sent."""
        return {**request_of(self._options), "messages": [dict(one) for one in messages]}

    def _ask_once(self, messages: Sequence[Message]) -> Reply:
        content = json.dumps(self.body(messages), ensure_ascii=False).encode("utf-8", "replace")
        asked = request.Request(self._address, data=content, headers=self._headers, method="POST")
        deadline = time.monotonic() + self._options.timeout_seconds
        where = self._options.endpoint
        try:
            with self._opener.open(asked, timeout=self._options.timeout_seconds) as answer:
                return _reply_of(self._without_key(_read(answer, deadline)))
        except error.HTTPError as failure:
            with failure:
                raise self._failure_of(failure) from None
        except TimeoutError:
            raise _PassingError(
                f"no answer within {self._options.timeout_seconds:g} s (judge.timeout_seconds)"
            ) from None
        except error.URLError as failure:
            if isinstance(failure.reason, TimeoutError):
                raise _PassingError(
                    f"no answer within {self._options.timeout_seconds:g} s (judge.timeout_seconds)"
                ) from None
            raise _PassingError(f"{where} cannot be reached: {failure.reason}") from None
        except (OSError, http.client.HTTPException) as failure:
            what = str(failure) or type(failure).__name__
            raise _PassingError(f"{where} broke off: {what}") from None

    def _without_key(self, content: bytes) -> bytes:
        """A server may send back what it was sent; answers and errors are kept, the key is not."""
        return content.replace(self._key.encode(), b"***") if self._key else content

    def _failure_of(self, failure: error.HTTPError) -> Exception:
        said = _shown(self._without_key(_content_of(failure)))
        text = f"status {failure.code}{said}"
        if failure.code in _PASSING or failure.code >= 500:
            return _PassingError(text, _seconds_asked(failure.headers.get("Retry-After")))
        if failure.code in _NO_USE or failure.code < 400:
            return EndpointError(
                f"judge.endpoint: {self._options.endpoint} answers with {text}; look at the "
                "address, judge.model, and the key that judge.api_key_env names"
            )
        return CallFailedError(text)


def request_of(options: JudgeOptions) -> dict[str, Any]:
    """The part of every request's body that does not depend on what is asked."""
    own: dict[str, Any] = {"temperature": 0, "max_tokens": options.max_tokens}
    rest = {key: value for key, value in {**own, **options.request}.items() if value is not None}
    return {"model": options.model, **rest}


def _address_of(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _is_here(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole answer; the socket's own timeout would allow one that trickles for ever."""
    found = bytearray()
    while piece := answer.read1(65536):
        found += piece
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(found) > _MOST_BYTES:
            raise _PassingError(f"an answer of more than {_MOST_BYTES:,} bytes")
    return bytes(found)


def _reply_of(content: bytes) -> Reply:
    try:
        found = json.loads(content)
        text = found["choices"][0]["message"]["content"]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        raise _PassingError(f"no chat completion: {_cut(content)}") from None
    if isinstance(text, list):  # parts
        parts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "".join(part for part in parts if isinstance(part, str))
    usage = found.get("usage")
    counted = usage if isinstance(usage, dict) else {}
    return Reply(
        text=text if isinstance(text, str) else "",
        input_tokens=_count(counted.get("prompt_tokens")),
        output_tokens=_count(counted.get("completion_tokens")),
    )


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None


def _seconds_asked(value: str | None) -> float | None:
    """Of a ``Retry-After``: seconds, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value[:9])
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _content_of(failure: error.HTTPError) -> bytes:
    try:
        return failure.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _shown(content: bytes) -> str:
    return f": {_cut(content)}" if content.strip() else ""


def _cut(content: bytes) -> str:
    return " ".join(content[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
