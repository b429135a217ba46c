"""Which bases there are, and where each is, without loading any."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bakeoff.base.weights.references import (
    SCRATCH_PREFIX,
    SCRATCH_SHAPES,
    SMOLLM2_REFERENCE,
    TINY_REFERENCE,
)
from bakeoff.base.weights.smollm2 import SMOLLM2_REMEDY, find_smollm2
from bakeoff.base.wire_bases.shapes import FAMILY, making_command, member_begun, member_folder

_PREFIX = "models--"


@dataclass(frozen=True, kw_only=True)
class ListedBase:
    """One base that a study may name.

    Attributes:
        name: as in ``base``. about: what it is.
        place: where it is; None where it has still to be fetched.
        remedy: the command that fetches it, makes it or goes on with making it, or None.
        begun: how far its making is, such as ``step 1,200 of 14,420``; None where it is not begun.
    """

    name: str
    about: str
    place: str | None = None
    remedy: str | None = None
    begun: str | None = None


def list_bases(cache_dir: Path) -> list[ListedBase]:
    """The bases that need no hub, then those that the hub's cache holds.

    Args:
        cache_dir: where ``bakeoff bases get`` keeps what it fetches.
    """
    smollm2 = find_smollm2(cache_dir)
    return [
        ListedBase(
            name=TINY_REFERENCE,
            about="the demo's, of four layers; knows little",
            place="shipped with bakeoff",
        ),
        *(_of_family(name, cache_dir) for name in FAMILY),
        ListedBase(
            name=SMOLLM2_REFERENCE,
            about="SmolLM2-135M-Instruct, Apache-2.0",
            place=None if smollm2 is None else str(smollm2),
            remedy=SMOLLM2_REMEDY if smollm2 is None else None,
        ),
        ListedBase(
            name=f"{SCRATCH_PREFIX}SHAPE",
            about=f"random weights, for benchmarks: {', '.join(SCRATCH_SHAPES)}",
            place="made when it is used",
        ),
        *_of_hub(),
    ]


def _of_family(name: str, cache_dir: Path) -> ListedBase:
    shape, place = FAMILY[name], member_folder(name, cache_dir)
    begun = member_begun(name, cache_dir) if place is None else None
    return ListedBase(
        name=name,
        about="tiny under its family's name"
        if shape.shipped == TINY_REFERENCE
        else f"of tiny's family, {shape.layers} layers, {shape.width} wide",
        place="shipped with bakeoff" if shape.shipped else None if place is None else str(place),
        remedy=making_command(name, begun) if place is None else None,
        begun=None if begun is None else begun.how_far,
    )


def hub_cache() -> Path:
    """The Hugging Face hub's cache, as its library finds it."""
    from huggingface_hub import constants

    return Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE).expanduser()


def _of_hub() -> list[ListedBase]:
    found = []
    for folder in sorted(hub_cache().glob(f"{_PREFIX}*")):
        if any(folder.glob("snapshots/*/config.json")):
            name = folder.name.removeprefix(_PREFIX).replace("--", "/")
            found.append(ListedBase(name=name, about="from the hub", place=str(folder)))
    return found
