"""Rows that wait, rows that wait too long, and requests that are too many by themselves."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.serve.clients import post
from tests.waiting import until

if TYPE_CHECKING:
    from bakeoff.serve.running import Server
    from tests.serve.conftest import Held, Serve

TEXT = "The fair of Arden drew 100 people."
BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": "lora", "prompt": TEXT, "n": 4, "temperature": 1},
    "/v1/chat/completions": {
        "model": "lora",
        "messages": [{"role": "user", "content": TEXT}],
        "n": 4,
    },
    "/compare": {"models": ["lora", "ia3", "prefix", "zero_shot"], "prompt": TEXT},
}


def asked(server: Server, **more: Any) -> httpx.Response:
    return post(server, "/v1/completions", {"model": "lora", "prompt": TEXT, **more})


def test_a_full_queue_says_when_to_ask_again(finished: Path, serve: Serve, held: Held) -> None:
    server = serve(finished, max_seats=1, max_queue=2)
    batcher = server.state.engine.batcher
    may_go_on = held(server)
    found: list[httpx.Response] = []
    first = threading.Thread(target=lambda: found.append(asked(server, prompt=[TEXT] * 3)))
    first.start()
    until(lambda: batcher.num_running)
    refused = asked(server)
    may_go_on.set()
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
    first.join()
    assert found[0].status_code == 200 and asked(server).status_code == 200


@pytest.mark.parametrize("path", sorted(BODIES))
def test_a_request_that_can_never_find_its_seats_is_no_matter_of_time(
    finished: Path, serve: Serve, path: str
) -> None:
    server = serve(finished, max_seats=1, max_queue=2)
    refused = post(server, path, BODIES[path])
    assert refused.status_code == 400 and "retry-after" not in refused.headers
    error = refused.json()["error"]
    assert error["code"] == "too_many_rows" and "ask for fewer" in error["message"]
    assert asked(server, prompt=[TEXT] * 3).status_code == 200


def test_rows_that_wait_too_long_are_told(finished: Path, serve: Serve) -> None:
    server = serve(finished, max_seats=1, queue_seconds=0.0)
    many = asked(server, prompt=[TEXT] * 3)
    assert many.status_code == 429 and many.json()["error"]["code"] == "queue_timeout"
