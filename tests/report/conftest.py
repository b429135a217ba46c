"""Folders of golden runs with their reports: complete, cut off, hostile, large, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.decide.limits import Limits
from bakeoff.decide.representative import representative
from bakeoff.report import write_report, write_side_by_side
from bakeoff.runs.records import Results
from bakeoff.types import RunState
from tests.golden_folders import copy_of, renamed, rows_of, save, with_methods, write_rows
from tests.grown_runs import write_grown

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "{{7*7}} {% raw %} ${7*7} <!-- ",
    "\"double\" 'single' `back` | pipe | &amp; &lt;",
    "مرحبا بالعالم ‮ right to left",
    "🦜🧪👩‍👩‍👧 emoji \ud83d half a pair",
    "Donaudampfschifffahrt" * 40,
    '<link href="https://example.org/a.css"> @import "https://example.org/b.css"',
)
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='a'>|`",
    "url(#clip)",
    "{{7*7}} مرحبا 🦜 http://example.org",
)
METHODS = ("traditional", "lora", "lora_small", "full")
WIDE_NAMES = (
    "lora", "soft_prompt", "head", "lora_all_linear_layers_rank_32", "bitfit", "ia3",
    "bottleneck_64", "norms", "prefix", "full",
)  # fmt: skip
NO_MEMORY = "no memory left, even at one row"
ONE_MEGABYTE = Limits(adapter_size=1e6)


def cut_off(results: Results) -> Results:
    """A run that was interrupted: one method tested, others running, waiting, failed."""
    untested: dict[str, Any] = {"test": {}, "validation": {}, "seeds": (), "outputs": None}
    untested["cost"] = replace(results.methods["lora"].cost, epoch_seconds=None)
    states = {"lora": "RUNNING", "lora_small": "WAITING", "traditional": "FAILED"}
    changed = with_methods(
        results,
        **{
            name: {**untested, "state": RunState(state),
                   "reason": NO_MEMORY if state == "FAILED" else None}
            for name, state in states.items()
        },
    )  # fmt: skip
    candidates = {
        key: found
        if found.method == "full"
        else replace(
            found,
            state=RunState(states[found.method]),
            epochs=found.epochs[:1] if states[found.method] == "RUNNING" else (),
            best_epoch=None,
        )
        for key, found in results.candidates.items()
    }
    return replace(changed, status="partial", candidates=candidates, comparisons=())


def write_partial(folder: Path) -> Results:
    """A run as an interrupt leaves it, with a line that is half written."""
    results = copy_of("four", folder, cut_off)
    shown = representative(results, "full", results.methods["full"].candidates)
    path = folder / "candidates" / str(shown) / "predictions.jsonl"
    path.write_text(path.read_text("utf-8") + '{"index": 11, "predic', "utf-8")
    return results


def attacked(results: Results) -> Results:
    """The same run with names and notes that attack the page."""
    changed = renamed(results, dict(zip(METHODS, HOSTILE_NAMES, strict=True)))
    failed = replace(changed.methods[HOSTILE_NAMES[3]], state=RunState.FAILED, reason=HOSTILE[1])
    return replace(
        changed,
        study={**changed.study, "name": HOSTILE[0]},
        environment=replace(changed.environment, device=HOSTILE[0]),
        methods={**changed.methods, HOSTILE_NAMES[3]: failed},
        notes=(*changed.notes, *HOSTILE),
    )


def write_hostile(folder: Path) -> Results:
    """A run whose names and texts attack the page."""
    results = copy_of("four", folder, attacked)
    examples = rows_of(folder / "examples.jsonl")
    for i, row in enumerate(examples):
        row["document"], row["reference"] = HOSTILE[i % 8], HOSTILE[(i + 1) % 8]
    write_rows(folder / "examples.jsonl", examples)
    for path in folder.rglob("predictions.jsonl"):
        rows = [{**row, "prediction": HOSTILE[(row["index"] + 2) % 8]} for row in rows_of(path)]
        write_rows(path, rows)
    return results


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of four methods with its report; tests only read it."""
    folder = tmp_path_factory.mktemp("complete")
    copy_of("four", folder)
    return write_report(folder).parent


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same within a limit, where the two that remain tie; tests only read it."""
    folder = tmp_path_factory.mktemp("limited")
    copy_of("four", folder)
    return write_report(folder, ONE_MEGABYTE).parent


@pytest.fixture(scope="session")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cut off, with its report; tests only read it."""
    folder = tmp_path_factory.mktemp("partial")
    write_partial(folder)
    return write_report(folder).parent


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose names and texts attack the page, with its report; tests only read it."""
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile(folder)
    return write_report(folder).parent


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten methods, searched, with its report; tests only read it."""
    folder = tmp_path_factory.mktemp("wide")
    write_grown(folder, WIDE_NAMES, 150)
    return write_report(folder).parent


@pytest.fixture(scope="session")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on 3,000 test rows, with its report; tests only read it."""
    folder = tmp_path_factory.mktemp("thousands")
    write_grown(folder, WIDE_NAMES, 3000)
    return write_report(folder).parent


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies on one page, of which two are not measured alike; tests only read it."""
    folder = tmp_path_factory.mktemp("side_by_side")
    for name in ("one", "two", "three"):
        place = folder / name
        results = write_hostile(place) if name == "three" else copy_of("four", place)
        study = {**results.study, "name": f"{results.study['name']} {name}"}
        save(place, replace(results, study=study))
    return write_side_by_side(
        [folder / name for name in ("one", "two", "three")], folder / "page", mix=True
    ).parent


@pytest.fixture
def hostile_texts() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    return HOSTILE_NAMES
