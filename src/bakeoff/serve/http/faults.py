"""Errors as OpenAI's clients expect them. None of them names a file of the server."""

from __future__ import annotations

from typing import Any, Final

from bakeoff.engine.serving.rows import Failed, Fault

RETRY_SECONDS: Final = 1
_SHOWN: Final = 80
"""Characters of a name that an error repeats."""

_STATUS: Final = {
    Fault.ADAPTER: 503,
    Fault.NOT_FINITE: 503,
    Fault.TIMEOUT: 429,
    Fault.MEMORY: 429,
    Fault.STOPPING: 503,
    Fault.INTERNAL: 503,
    Fault.CANCELLED: 499,
}


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: of HTTP. message: for people. code: for programs. param: the field that is wrong.
    """

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` where asking again helps."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(RETRY_SECONDS)} if self.status in (429, 503) else {}

    @property
    def body(self) -> dict[str, Any]:
        """In OpenAI's form."""
        kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else None)
        return {
            "error": {
                "message": self.message,
                "type": kind or "invalid_request_error",
                "param": self.param,
                "code": self.code,
            }
        }


def of_row(failed: Failed) -> ApiError:
    """What a row's failure is to its client."""
    return ApiError(_STATUS[failed.fault], failed.message, str(failed.fault))


def bad(message: str, param: str | None = None, code: str = "invalid_request") -> ApiError:
    """400."""
    return ApiError(400, message, code, param)


def no_model(name: str) -> ApiError:
    """404."""
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    message = f"there is no model {shown!r}; /v1/models lists them"
    return ApiError(404, message, "model_not_found", "model")
