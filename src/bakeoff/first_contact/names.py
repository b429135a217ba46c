"""What a study is called after its data."""

from __future__ import annotations

import glob
import re
from pathlib import Path


def name_of(source: str | Path | list[str] | dict[str, str | list[str]]) -> str:
    """A study's name from its data's; of several files, from the first one's."""
    if isinstance(source, dict):
        return name_of(source["train"])
    if isinstance(source, list):
        return name_of(source[0])
    path = Path(source)
    while glob.has_magic(path.name) and not path.exists():
        path = path.parent
    name = path.name or path.resolve().name
    while (suffix := Path(name).suffix) and re.fullmatch(r"\.[a-z]\w{1,7}", suffix):
        name = name.removesuffix(suffix)
    if name.lower() in ("train", "data", "test", "rows") and path.is_file():
        name = path.resolve().parent.name
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64]
    return safe or "study"
