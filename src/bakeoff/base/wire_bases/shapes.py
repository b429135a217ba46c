"""The family's members, and where each is, without loading anything."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bakeoff.base.wire_bases.unfinished import Unfinished, read_unfinished, unfinished_file
from bakeoff.errors import BaseModelError

ROW_TOKENS: Final = 256
TOKENS_PER_PARAMETER: Final = 6
"""Of every member; ``tiny``, which came first, had as many by the clock."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A GPT-Neo of the family.

    Attributes:
        width: of hidden states. layers: an even number, global and local attention in turns.
        heads: of each. rows: of 256 tokens in a step. learning_rate: the highest.
        shipped: its folder below ``bakeoff/base`` where it is in the package, else None.
    """

    width: int
    layers: int
    heads: int
    rows: int
    learning_rate: float
    shipped: str | None = None


FAMILY: Final = {
    "wire-0.3m": Shape(
        width=64, layers=4, heads=4, rows=4, learning_rate=3e-3, shipped="wire_bases/wire-0.3m"
    ),
    "wire-1.1m": Shape(width=128, layers=4, heads=4, rows=8, learning_rate=2e-3, shipped="tiny"),
    "wire-3.5m": Shape(width=240, layers=4, heads=6, rows=8, learning_rate=1.5e-3),
    "wire-10m": Shape(width=352, layers=6, heads=8, rows=16, learning_rate=1.2e-3),
}
"""By name, rising in parameters; ``wire-1.1m`` is ``tiny``."""


def made_folder(name: str, cache_dir: Path) -> Path:
    """Where ``bakeoff bases make`` puts a member."""
    return cache_dir / "bases" / name


def is_member(reference: str, root: Path) -> bool:
    """Whether a reference is a member's name, or a folder with a member's card.

    Args:
        reference: of a base. root: the folder that a relative one is looked up in.
    """
    names = ("tiny", *FAMILY)
    if reference in names:
        return True
    try:
        card = (root / Path(reference).expanduser() / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError):
        return False
    title = next((line[2:].strip() for line in card.splitlines() if line.startswith("# ")), "")
    return title in names and "`bakeoff.data.wire`, split `pretrain`" in card


def member_folder(name: str, cache_dir: Path) -> Path | None:
    """Where a member is: in the package or in the cache; None where it has still to be made."""
    shipped = FAMILY[name].shipped
    if shipped is not None:
        return Path(str(importlib.resources.files("bakeoff.base"))) / shipped
    made = made_folder(name, cache_dir)
    return made if (made / "model.safetensors").is_file() else None


def member_begun(name: str, cache_dir: Path) -> Unfinished | None:
    """How far the making of a member is that is not here; None where it is not begun."""
    try:
        return read_unfinished(unfinished_file(made_folder(name, cache_dir)))
    except OSError:  # `bakeoff bases make` says what is wrong with it
        return None


def making_command(name: str, begun: Unfinished | None) -> str:
    """What makes a member, or goes on with it."""
    command = f"bakeoff bases make {name}"
    if begun is None:
        return command
    is_of_cpu = begun.device == "cpu"
    return f"{command} --threads {begun.threads}" if is_of_cpu else f"{command} --device cuda"


def here(name: str, cache_dir: Path) -> Path:
    """A member's folder.

    Raises:
        BaseModelError: it has still to be made.
    """
    found = member_folder(name, cache_dir)
    if found is None:
        begun = member_begun(name, cache_dir)
        is_begun = "make it" if begun is None else f"it is begun ({begun.how_far}), go on with it"
        raise BaseModelError(
            f"base {name!r}: has still to be made here; {is_begun}: {making_command(name, begun)}"
        )
    return found
