"""The studies of the campaign: as small as they can be, each with what others have not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bakeoff.config import dump_yaml
from tests.studies import SIZES, small_study, write_rows

_LORA: Final = {"kind": "lora", "rank": 1, "learning_rate": 1e-2}
_OFTEN: Final = {"checkpoint_minutes": 1e-5}
"""A checkpoint after every update."""


def _plain() -> dict[str, Any]:
    """Two cohorts."""
    methods = {"lora": _LORA, "head": {"kind": "head", "learning_rate": 1e-2}}
    return small_study(methods=methods, protocol={"epochs": 2}, **_OFTEN)


def _search() -> dict[str, Any]:
    """A search that prunes, two seeds of what it chooses, and a further test set."""
    methods = {"lora": {"kind": "lora", "rank": [1, 2]}}
    search = {"learning_rates": 2, "seeds": 2, "reduction_factor": 2, "growth": 0}
    return small_study(
        methods=methods,
        search=search,
        protocol={"epochs": 2},
        slots=2,
        generation={"max_new_tokens": 2},
        **_OFTEN,
    )


def _labels() -> dict[str, Any]:
    """Another task: a label for a text, with three seeds."""
    study = small_study(methods={"lora": _LORA}, protocol={"seeds": [0, 1, 2]}, **_OFTEN)
    study["task"] = {
        **{"kind": "classify", "text": "text", "label": "label", "labels": ["bad", "good"]},
        **{"source": {split: f"labels/{split}.jsonl" for split in SIZES}, "max_length": 96},
    }
    return study


def _bits() -> dict[str, Any]:
    """A base of four bits."""
    methods = {"lora": {**_LORA, "quantization": "nf4"}}
    few = {"max_new_tokens": 2}
    return small_study(methods=methods, protocol={"epochs": 2}, generation=few, **_OFTEN)


STUDIES: Final = {"plain": _plain, "search": _search, "labels": _labels, "bits": _bits}


def write_studies(place: Path) -> None:
    """Writes rows and ``NAME.yaml`` of each study into a folder."""
    if not (place / "rows").exists():
        write_rows(place / "rows")
    for split, lines in _labelled():
        (place / "labels").mkdir(exist_ok=True)
        (place / "labels" / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    for name, study in STUDIES.items():
        (place / f"{name}.yaml").write_text(dump_yaml(study()), encoding="utf-8")


def _labelled() -> Iterator[tuple[str, str]]:
    for split, size in SIZES.items():
        rows = (
            {
                "text": f"The {split} fair of day {i} was {'good' if i % 2 else 'bad'}.",
                "label": i % 2,
            }
            for i in range(size)
        )
        yield split, "".join(json.dumps(row) + "\n" for row in rows)
