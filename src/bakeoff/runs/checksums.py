"""A checksum at the end of a JSON object, by which a torn or changed one is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

CHECKSUM: Final = "checksum"
_LENGTH: Final = 16


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values with a checksum of all of them at their end."""
    own = {key: value for key, value in content.items() if key != CHECKSUM}
    # As the file will hold it: what UTF-8 cannot say becomes a question mark, in keys as well.
    own = json.loads(json.dumps(own, ensure_ascii=False).encode("utf-8", "replace"))
    return {**own, CHECKSUM: _checksum(own)}


def checked(content: Any) -> Any | None:
    """JSON without its checksum; None where that is another's. One without a checksum passes."""
    if not isinstance(content, dict) or CHECKSUM not in content:
        return content
    own = {key: value for key, value in content.items() if key != CHECKSUM}
    return own if content[CHECKSUM] == _checksum(own) else None


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_LENGTH]
