"""Every input that ever broke something, as files: refused by name, or taken."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bakeoff.data.sources import open_source
from bakeoff.errors import BakeoffError
from bakeoff.study.loading import load_study
from bakeoff.tasks.contract import columns_of
from tests.faults.generated import GOOD, KINDS
from tests.tasks.preparing import prepared, task_of
from tests.tokenizer_families import train_tokenizer

CORPUS = Path(__file__).parent / "corpus"
STUDIES = sorted(file.name for file in (CORPUS / "studies").iterdir())
ROWS = sorted(file.name for file in (CORPUS / "rows").iterdir())


@pytest.mark.parametrize("name", STUDIES)
def test_a_study(name: str, tmp_path: Path) -> None:
    """Its first line has an expression that the error's words match."""
    shutil.copy(CORPUS / "studies" / name, tmp_path / "study.yaml")
    says = (tmp_path / "study.yaml").read_text("utf-8").partition("\n")[0]
    with pytest.raises(BakeoffError) as caught:
        _read(tmp_path / "study.yaml")
    assert re.search(says.removeprefix("# says:").strip(), str(caught.value))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("kind", ["complete", "summarize", "classify", "text"])
def test_rows(name: str, kind: str, tmp_path: Path) -> None:
    rows: list[Any] = [
        GOOD,
        *map(json.loads, (CORPUS / "rows" / name).read_text("utf-8").splitlines()),
    ]
    for split in ("train", "validation", "test"):
        lines = (json.dumps(row) + "\n" for row in (rows if split == "train" else rows[:1]))
        (tmp_path / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    options = {"max_length": 64, "max_target_tokens": 16, "on_bad_row": "skip", **KINDS[kind]}
    part = prepared(task_of(kind=kind, **options), train_tokenizer(), tmp_path).splits["train"]
    assert len(set(part.rows.tolist())) + part.rows_skipped == len(rows)
    assert part.tokens.lengths.max() <= 64


def _read(path: Path) -> None:
    """Reads a study and looks for its rows, as every command does."""
    study = load_study(path)
    open_source(study.task.options, columns_of(study.task), root=study.root).fingerprint()
