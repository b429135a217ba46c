"""Clients that leave give their seats back, and what fails at once is no stream."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.requests import ClientDisconnect

from tests.serve.clients import post
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from bakeoff.serve.running import Server
    from tests.serve.conftest import LeaversOf, Serve

TEXT = "The fair of Arden drew 100 people."
LONG: dict[str, Any] = {
    "raw": True,
    "max_tokens": 150,
    "no_repeat_ngram": 0,
    "logit_bias": {"0": -100},
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "lora", "prompt": TEXT}),
        ("/compare", {"models": ["lora", "ia3"], "prompt": TEXT}),
    ],
)
def test_a_client_that_leaves_without_a_stream_is_noticed(
    served: Server, path: str, body: dict[str, Any], leavers_of: LeaversOf
) -> None:
    leavers = leavers_of(served)
    host, port = served.address.removeprefix("http://").split(":")
    content = json.dumps({**body, **LONG}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    client = socket.create_connection((host, int(port)))
    client.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    until(lambda: leavers.batcher.num_running)
    client.close()
    assert leavers.num_cancelled == len(body.get("models", ["one"]))


def test_a_client_that_leaves_before_its_stream_begins_is_noticed(
    served: Server, leavers_of: LeaversOf
) -> None:
    from bakeoff.serve.http.bodies import CompletionBody
    from bakeoff.serve.http.completing import completion_job, streamed_completion
    from bakeoff.serve.http.responses import FlowStream

    leavers = leavers_of(served)

    async def gone(_: Any) -> None:
        raise OSError

    async def nothing() -> Any:
        await asyncio.Event().wait()

    async def asked() -> None:
        body = CompletionBody(model="lora", prompt=TEXT, stream=True, **LONG)
        job = await completion_job(served.state.engine, body)
        response = FlowStream(job.flow, streamed_completion(job))
        # Starlette before 0.39 lets the group of its tasks fail instead.
        with pytest.raises((ClientDisconnect, ExceptionGroup)):
            await response({"type": "http", "asgi": {"spec_version": "2.4"}}, nothing, gone)
        await asyncio.to_thread(leavers.settle)

    asyncio.run(asked())
    assert leavers.num_cancelled == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": TEXT}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}]}),
    ],
)
def test_what_is_refused_has_no_rows(served: Server, path: str, body: dict[str, Any]) -> None:
    """They would run to their end: the refused request is the only one who could cancel them."""
    batcher = served.state.engine.batcher
    written = batcher.counts.written_tokens
    body = {**body, "model": "lora", "max_tokens": 150, "stream_options": {"include_usage": True}}
    refused = post(served, path, body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "stream_options"
    assert not batcher.num_waiting and not batcher.num_running
    assert batcher.counts.written_tokens == written


def test_what_fails_before_the_first_token_has_a_status(copied: Path, serve: Serve) -> None:
    def asked(server: Server, **more: Any) -> httpx.Response:
        body = {"model": "lora", "prompt": TEXT, "stream": True, **more}
        return post(server, "/v1/completions", body)

    server = serve(copied, max_seats=1, queue_seconds=0.0)
    late = asked(server, prompt=[TEXT] * 3)
    assert late.status_code == 429 and late.headers["retry-after"]
    assert late.json()["error"]["code"] == "queue_timeout"
    chat = {"model": "lora", "messages": [{"role": "user", "content": TEXT}], "stream": True}
    late = post(server, "/v1/chat/completions", chat)
    assert late.status_code == 429

    [folder] = (copied / "candidates").glob("ia3-*")
    weights = folder / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    torn = asked(serve(copied), model="ia3")
    assert torn.status_code == 503 and torn.json()["error"]["code"] == "adapter_unavailable"
