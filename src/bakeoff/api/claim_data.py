"""What the studies of claims learn: articles made here, or data of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bakeoff.api.claim_rows import draw_rows, hash_of, json_lines
from bakeoff.api.starting import data_of, init
from bakeoff.claims.contract import SIZES, BaseFacts, Size
from bakeoff.claims.planning import ClaimData
from bakeoff.data.given import GivenRows
from bakeoff.data.sources import Source, is_whole
from bakeoff.data.wire import DESKS, WireExample, generate, generate_fact_sheets
from bakeoff.errors import ConfigError
from bakeoff.files import disk_errors, write_bytes
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.examined import named_benchmark_caution
from bakeoff.tasks.preparation.known import source_of

_HELD_OUT: Final = ("court", "science")
"""Desks that training leaves out where a claim is about shifted data."""
_SEED: Final = 7
_CORPUS_SEED: Final = 977
_PROTOCOL: Final = {
    "micro_batch_size": 4,
    "grad_accum_steps": 1,
    "max_grad_norm": 1.0,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_ratio": 0.0,
    "patience": 2,
}
_WIRE: Final = {
    "source": "wire",
    "document": "article",
    "summary": "highlights",
    "cleaning": ["collapse_whitespace"],
    "template": "{document} {summary}",
    "max_length": 256,
    "max_target_tokens": 56,
}


_DESK_NAMES: Final = tuple(sorted(desk.name for desk in DESKS))
_DESKS: Final = {
    "kind": "classify",
    "text": "article",
    "label": "desk",
    "labels": list(_DESK_NAMES),
    "template": "{text}\n\nDesk: {label}",
    "max_length": 256,
}
"""The subjects of the made articles as class labels."""
_MOST_LABELS: Final = 1000
_MOST_ROWS: Final = max(size.train_rows for size in SIZES.values())


def beside_rows(facts: BaseFacts, data: ClaimData) -> BaseFacts:
    """The facts with the room that the data's rows leave."""
    rows = data.task.get("max_length")
    if facts.positions is None or rows is None:
        return facts
    return replace(facts, room=max(0, facts.positions - int(rows)))


def given_data(
    data: str, base: str, place: Path, *, is_drawn: bool = True, known: str | None = None
) -> ClaimData:
    """What ``bakeoff init`` makes of data; the standard input is kept in the folder.

    Args:
        data: as of ``bakeoff init``. base: whose tokens are counted. place: the claims' folder.
        known: the hash of the rows that the folder's claims are about; None where it has none.
        is_drawn: whether rows are drawn from the whole of each split, see ``claim_rows``; else the
            first ones are taken, as in folders of versions that drew none.

    Raises:
        ConfigError: the data are others than ``known`` says; nothing is written then.
        BakeoffError: they cannot be read, or learnt from.
    """
    given, found = data_of([data]), None
    if isinstance(given, GivenRows):
        found = hash_of([given.name])  # which is one of their content
        _check_unchanged(place, data, known, found)
        given.write(place / "data")
        given = given.source(place / "data")
    study = init(given, base=base).at(place)
    source = source_of(study.task, study.root)
    if found is None:
        found = hash_of(source.fingerprint())
        _check_unchanged(place, data, known, found)
    task = {k: v for k, v in study.resolved["task"].items() if k not in ("examples", "metrics")}
    drawn = None
    if is_drawn:
        drawn = draw_rows(source, place / "data")
        # How the splits are made, or found on the Hub, is no matter of these files.
        task = {k: v for k, v in task.items() if k not in ("config", "split_by_hash")}
        task["source"] = dict(drawn.source)
        train_rows = min(drawn.counts["train"], _MOST_ROWS)
    else:
        train_rows = sum(1 for _ in islice(source.records("train"), _MOST_ROWS))
    is_divided = drawn is None and is_whole(source)
    protocol = study.resolved["protocol"]
    kept = ("micro_batch_size", "grad_accum_steps", "max_grad_norm", "weight_decay")
    return ClaimData(
        task=task,
        protocol={**_PROTOCOL, **{key: protocol[key] for key in kept}},
        takes_prompts=study.task.kind == "summarize",
        labelled=(task, _labels(study.task, source)) if study.task.kind == "classify" else None,
        train_rows=train_rows,
        validation_rows=None if drawn is None else drawn.counts["validation"],
        test_rows=None if drawn is None else drawn.counts["test"],
        prompts_source=_test_rows(source, place / "data") if is_divided else None,
        sha256=found,
        # By the name that the source has, which drawn rows no longer have.
        notes=()
        if drawn is None
        else tuple(filter(None, (*drawn.notes, named_benchmark_caution(study.task)))),
    )


def _check_unchanged(place: Path, data: str, known: str | None, found: str) -> None:
    """Refuses rows that are others than those of a folder's claims.

    Raises:
        ConfigError: naming both by their hashes.
    """
    if known is not None and known != found:
        raise ConfigError(
            f"{place}: holds claims about other rows of --data {data}, which changed since "
            f"(SHA-256 {known[:12]}… there, {found[:12]}… here), and all claims of a folder are "
            "about the same rows; restore them, or give another folder with --out"
        )


def _test_rows(source: Source, folder: Path) -> dict[str, str]:
    """The test rows of a source that is divided, as a file that is a further test set."""
    file = folder / "test-rows.jsonl"
    rows = [dict(one.values) for one in source.records("test") if one.problem is None]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write(file, rows)
    return {"test": str(file.resolve())}


def _labels(task: Task, source: Source) -> tuple[str, ...]:
    """A classification's labels as they stand in its rows, after a space."""
    known = getattr(task.options, "labels", None)
    if known is None:
        column = str(getattr(task.options, "label", ""))
        records = source.records("train")
        known = sorted({str(one.values.get(column, "")).strip() for one in records} - {""})
    return tuple(f" {label}" for label in known[:_MOST_LABELS])


def made_data(place: Path, size: Size) -> ClaimData:
    """Articles made here, and beside them those of two desks, fact sheets and a corpus."""
    folder = place / "data" / size.name
    counts = {
        "train": size.train_rows,
        "validation": size.validation_rows,
        "test": size.test_rows,
    }
    source = {split: str(folder / f"{split}.jsonl") for split in counts}
    labels = {split: str(folder / f"labels-{split}.jsonl") for split in counts}
    desks, sheets = folder / "desks.jsonl", folder / "sheets.jsonl"
    corpus = folder / "corpus.jsonl"
    if not sheets.exists():  # it is written last
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for split, count in counts.items():
                _write(Path(source[split]), _summaries(generate, split, count, held_out=False))
                _write(Path(labels[split]), _with_desks(split, count))
            _write(desks, _summaries(generate, "test", size.test_rows, held_out=True))
            texts = generate(size.test_rows, seed=_CORPUS_SEED, split="pretrain")
            _write(corpus, [{"text": one.article} for one in texts])
            of_sheets = _summaries(generate_fact_sheets, "test", size.test_rows, held_out=False)
            _write(sheets, of_sheets)
    return ClaimData(
        task=_WIRE,
        protocol=_PROTOCOL,
        takes_prompts=True,
        labelled=({**_DESKS, "source": labels}, tuple(f" {name}" for name in _DESK_NAMES)),
        desks=(source, {"desks": str(desks), "sheets": str(sheets)}),
        corpus=str(corpus),
    )


def _with_desks(split: Any, count: int) -> list[dict[str, str]]:
    """Articles with their subjects."""
    found = generate(count, seed=_SEED, split=split)
    return [{"article": one.article, "desk": one.desk} for one in found]


def _summaries(
    made: Callable[..., list[WireExample]], split: Any, count: int, *, held_out: bool
) -> list[dict[str, str]]:
    """The first ``count`` rows of a split from the held-out desks, or from the others."""
    # A quarter of all events are from two of the eight desks.
    found: list[dict[str, str]] = []
    number = count * (5 if held_out else 2)
    while len(found) < count:
        found = [
            {"article": one.article, "highlights": one.highlights}
            for one in made(number, seed=_SEED, split=split)
            if (one.desk in _HELD_OUT) is held_out
        ][:count]
        number *= 2
    return found


def _write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_bytes(file, json_lines(rows))
