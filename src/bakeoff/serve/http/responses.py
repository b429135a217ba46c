"""Answers on their way: JSON, and streams that let their rows go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from bakeoff.serve.http.flow import Flow


class Json(JSONResponse):
    """JSON whatever the texts hold, as half of a pair of surrogates."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class FlowStream(StreamingResponse):
    """Server-sent events of rows, which leave however the stream ends.

    A client may go before the first part is asked for, and then no generator has begun that could
    let them go.

    Args:
        flow: the rows. parts: the events.
    """

    def __init__(self, flow: Flow, parts: AsyncIterator[bytes]) -> None:
        super().__init__(parts, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._flow = flow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._flow.cancel()
