"""Doubles of a judge: a server in this process that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BLOCK = re.compile(r"<(answer [AB]|task|reference) (\w+)>\n(.*?)\n</\1 \2>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request asked: the two answers, the task, and all of it as it came."""

    a: str
    b: str
    task: str
    reference: str | None
    body: dict[str, Any]
    headers: dict[str, str]


Says = Callable[[Asked], str]


@dataclass
class Double:
    """A judge that answers with ``says``; before that ``fails`` may give statuses to answer with.

    Attributes:
        asked: every request, in the order in which they came. hang: while set, no one is answered.
    """

    says: Says
    fails: list[int] = field(default_factory=list)
    counts_tokens: bool = True
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    go_on: threading.Event | None = None
    endpoint: str = ""

    def section(self, **more: Any) -> dict[str, Any]:
        """A study's ``judge`` for it, without waiting between tries."""
        return {"endpoint": self.endpoint, "model": "double", "retry_seconds": 0.0, **more}


def length_voter(asked: Asked) -> str:
    """Prefers the longer answer."""
    a, b = len(asked.a.strip()), len(asked.b.strip())
    return "[[A]]" if a > b else "[[B]]" if b > a else "[[TIE]]"


def position_voter(asked: Asked) -> str:
    """Prefers what comes first."""
    return "The first is better.\n[[A]]"


def preferring(is_good: Callable[[str], bool]) -> Says:
    """Prefers answers that are good, wherever they stand."""

    def says(asked: Asked) -> str:
        a, b = is_good(asked.a), is_good(asked.b)
        return "[[TIE]]" if a == b else f"Clearly.\n[[{'A' if a else 'B'}]]"

    return says


@contextmanager
def serving(double: Double) -> Iterator[Double]:
    """The double's server on this machine, while it is entered."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = body["messages"][-1]["content"]
            found = {name: inner for name, _, inner in _BLOCK.findall(text)}
            with double.lock:
                double.asked.append(
                    Asked(
                        a=found["answer A"],
                        b=found["answer B"],
                        task=found["task"],
                        reference=found.get("reference"),
                        body=body,
                        headers=dict(self.headers),
                    )
                )
                asked = double.asked[-1]
                status = double.fails.pop(0) if double.fails else 200
            if double.go_on is not None:
                double.go_on.wait(20.0)
            answer: dict[str, Any] = {
                "choices": [{"message": {"role": "assistant", "content": double.says(asked)}}]
            }
            if double.counts_tokens:
                answer["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
            # As some servers do, it sends back whatever it was sent.
            said = {"error": dict(self.headers)}
            content = json.dumps(answer if status == 200 else said).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # who asked did not wait

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    double.endpoint = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield double
    finally:
        if double.go_on is not None:
            double.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
