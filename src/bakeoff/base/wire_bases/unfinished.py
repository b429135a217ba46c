"""A member whose training was interrupted: how far it is, and how it was made.

Read without PyTorch, since bases are listed where a shell completes a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

META: Final = "bakeoff"
"""Under which the checkpoint's file, a safetensors file, keeps its JSON."""
_MOST_HEADER: Final = 100_000_000
"""Bytes, as safetensors has it."""
_WORDS: Final = {
    "threads": "--threads {}",
    "steps": "--steps {}",
    "device": "--device {}",
    "rows": "--rows {}",
    "learning_rate": "--learning-rate {:g}",
    "torch": "PyTorch {}",
    "machine": "a processor {}",
    "vendor": "a processor of {}",
    "capability": "kernels for {}",
}
_SAID: Final = ("threads", "torch", "machine", "vendor", "capability")
_WITHOUT_IT: Final = {"device": "cpu"}
"""What a key says that lacks a name."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A checkpoint of a training.

    Attributes:
        file: where it is. step: updates that were made.
        key: of what is trained, see ``checkpoint.write_checkpoint``; it goes on with an equal one.
    """

    file: Path
    step: int
    key: Mapping[str, Any]

    @property
    def how_far(self) -> str:
        """Such as ``step 1,200 of 14,420``."""
        return f"step {self.step:,} of {self.key['steps']:,}"

    @property
    def threads(self) -> int:
        """Of PyTorch, with which it was begun."""
        return int(self.key["threads"])

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``, on which it was begun; only that goes on to the bit."""
        return str(self.key.get("device", "cpu"))

    def differs(self, key: Mapping[str, Any]) -> list[str]:
        """The names in which a training of another key is another one.

        What an earlier version did not keep, such as the vendor, is in none of its keys.
        """
        kept, others = {**_WITHOUT_IT, **self.key}, {**_WITHOUT_IT, **key}
        return [name for name, value in kept.items() if others.get(name) != value]

    def refusal(self, key: Mapping[str, Any]) -> str:
        """Why a training of another key does not go on from here, and what does."""
        kept, key = {**_WITHOUT_IT, **self.key}, {**_WITHOUT_IT, **key}
        differs = self.differs(key)
        said = [*_SAID, *(name for name in differs if name not in _SAID)]
        return (
            f"{self.file}: holds {self.how_far} of a training made with {_listed(kept, said)}; "
            f"this call has {_listed(key, differs) or 'more to it'}, and only one made alike goes "
            f"on, to the bit. With {_listed(kept, differs) or 'the bakeoff that wrote it'} it "
            "goes on; delete the file to begin again"
        )


def _listed(key: Mapping[str, Any], names: list[str]) -> str:
    there = [name for name in names if name in key]
    return ", ".join(_WORDS.get(name, name + " {}").format(key[name]) for name in there)


def unfinished_file(place: Path) -> Path:
    """Where the training of a base stands that is to be at ``place``."""
    return place.with_name(f"{place.name}.unfinished")


def read_unfinished(file: Path) -> Unfinished | None:
    """How far a training is; None where there is no such file, or a torn one.

    Raises:
        OSError: it cannot be read, for another reason than that it is not there.
    """
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(size, _MOST_HEADER)))
        meta = json.loads(header["__metadata__"][META])
        key = dict(meta["key"])
        return Unfinished(
            file=file,
            step=int(meta["step"]),
            key={**key, "steps": int(key["steps"]), "threads": int(key["threads"])},
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
