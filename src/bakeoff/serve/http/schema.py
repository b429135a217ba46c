"""``/openapi.json``: what routes answer, and how they are asked with a key."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel

from bakeoff.serve.http.bodies import ErrorBody
from bakeoff.serve.http.guard import OPEN_PATHS

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "The request breaks a rule.",
        401: "A key is missing.",
        403: "Another site asks.",
        404: "There is no such model.",
        408: "The request took too long.",
        413: "The body is too large.",
        429: "Too many rows wait; Retry-After says when to ask again.",
        500: "The server failed.",
        503: "The server loads, stops, or cannot load an adapter.",
    }.items()
}
_KEY: Final = "key"


def answers(model: type[BaseModel], *, streams: bool = False) -> dict[int | str, dict[str, Any]]:
    """What a route answers if all is well; events too where ``stream`` may be asked for."""
    found: dict[str, Any] = {"model": model, "description": "The answer."}
    if streams:
        found["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    return {200: found}


def describe(app: FastAPI, *, has_keys: bool) -> None:
    """Adds to the schema what FastAPI does not know, and takes away what is never sent."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = plain()
        parts = schema.setdefault("components", {})
        parts["securitySchemes"] = {_KEY: {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{_KEY: []}] if has_keys else [{}, {_KEY: []}]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                # What breaks a rule of a body is 400 here.
                operation["responses"].pop("422", None)
                if path in OPEN_PATHS:
                    operation["security"] = []
        for name in ("HTTPValidationError", "ValidationError"):
            parts.get("schemas", {}).pop(name, None)
        return schema

    app.openapi = described  # type: ignore[method-assign]
