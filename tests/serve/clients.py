"""Requests to a server, with as long as any machine may need to answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.waiting import LONGEST

if TYPE_CHECKING:
    from bakeoff.serve.running import Server


def get(server: Server, path: str, **settings: Any) -> httpx.Response:
    """What it answers to a GET of this path."""
    return httpx.get(server.address + path, timeout=LONGEST, **settings)


def post(server: Server, path: str, body: Any = None, **settings: Any) -> httpx.Response:
    """What it answers to a POST of this body as JSON, or of the ``content`` that is given."""
    if "content" not in settings:
        settings["json"] = body
    return httpx.post(server.address + path, timeout=LONGEST, **settings)
