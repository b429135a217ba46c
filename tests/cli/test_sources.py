"""``bakeoff init`` and ``bakeoff run`` on data of every kind of place."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import openpyxl
import pyarrow as pa
import pytest

from bakeoff.config import dump_yaml, load_yaml

Cli = Callable[..., Any]
BASE = "scratch:tiny-gpt-neo"
ROWS = [
    {"text": f"Gerät {i} ist da, sagt er.", "side": ["links", "rechts"][i % 2]} for i in range(60)
]
COUNTS = {"train": 40, "validation": 10, "test": 10}


def lines(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(mark: str) -> bytes:
    rows = [["text", "side"], *(list(map('"{}"'.format, row.values())) for row in ROWS)]
    return "\n".join(map(mark.join, rows)).encode()


def excel(file: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["text", "side"], *(list(row.values()) for row in ROWS)):
        book.active.append(row)
    book.save(file)


def splits(folder: Path, *names: str) -> None:
    folder.mkdir()
    for start, name in enumerate(names):
        (folder / name).write_bytes(lines(ROWS[20 * start :][: 60 // len(names)]))


MADE: dict[str, tuple[Callable[[Path], Any], list[str], Any]] = {
    "tsv": (lambda f: f.write_bytes(table("\t")), ["a.tsv"], "a.tsv"),
    "semicolons": (lambda f: f.write_bytes(table(";")), ["a.csv"], "a.csv"),
    "zstd": (
        lambda f: f.write_bytes(pa.Codec("zstd").compress(lines(ROWS), asbytes=True)),
        ["a.jsonl.zst"],
        "a.jsonl.zst",
    ),
    "Excel": (excel, ["a.xlsx"], "a.xlsx"),
    "saved": (
        lambda f: datasets.Dataset.from_list(ROWS).save_to_disk(str(f)),
        ["saved"],
        "./saved",
    ),
    "shards": (
        lambda f: splits(f, "train-0.jsonl", "train-1.jsonl", "test.jsonl"),
        ["shards"],
        "./shards",
    ),
    "a pattern": (lambda f: splits(f.parent, "a1.jsonl", "a2.jsonl"), ["many/*.jsonl"], None),
    "several": (
        lambda f: splits(f.parent, "a.jsonl", "b.jsonl"),
        ["many/a.jsonl", "many/b.jsonl"],
        ["many/a.jsonl", "many/b.jsonl"],
    ),
    "a mapping": (
        lambda f: splits(f.parent, "a.jsonl", "b.jsonl", "c.jsonl"),
        ["{train: [many/a.jsonl, many/b.jsonl], test: many/c.jsonl}"],
        {"train": ["many/a.jsonl", "many/b.jsonl"], "test": "many/c.jsonl"},
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_init_writes_a_study_that_finds_its_data(cli: Cli, place: Path, name: str) -> None:
    make, given, source = MADE[name]
    make(place / ("many/x" if "many" in given[0] else given[0]))
    done = cli("init", *given, "--base", BASE, "--methods", "lora")
    assert done.code == 0, done.err
    study = load_yaml((place / "study.yaml").read_text(encoding="utf-8"), where="study")
    assert study["task"]["source"] == (given[0] if source is None else source)
    assert (study["task"]["text"], study["task"]["label"]) == ("text", "side")
    held = "There is no validation set, so about 20% of the rows" in " ".join(done.out.split())
    assert held == (name in ("shards", "a mapping"))


class Piped:
    """A standard input."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    return lambda content: monkeypatch.setattr(sys, "stdin", Piped(content))


SHORT = ("--base", BASE, "--methods", "lora")
QUICK = ("--seeds", "1", "--set", "protocol.epochs=1")


def test_run_keeps_piped_rows_and_goes_on_with_them(
    cli: Cli, place: Path, pipe: Callable[[bytes], None], quick: None, trained: list[str]
) -> None:
    command = ("run", "--data", "-", *SHORT, *QUICK)
    pipe(table("\t"))
    first = cli(*command)
    assert first.code == 0, first.err
    [kept] = (place / "runs/stdin/data").iterdir()
    assert (kept / "rows.csv").read_bytes() == table("\t")
    study = load_yaml((place / "runs/stdin/study.yaml").read_text(), where="study")
    assert study["task"]["source"] == f"runs/stdin/data/{kept.name}/rows.csv"
    inputs = (place / "runs/stdin/inputs.json").read_text()
    assert "rows.csv" in inputs
    assert len(trained) == 1
    pipe(b"")
    again = cli("run", "runs/stdin")  # without rows
    assert again.code == 0, again.err
    assert "nothing is trained" in again.out
    pipe(table("\t"))
    again = cli(*command)
    assert again.code == 0, again.err
    assert "It goes on with the study in runs/stdin" in again.out
    assert len(trained) == 1


def test_a_study_may_read_the_standard_input(
    cli: Cli, place: Path, pipe: Callable[[bytes], None], quick: None
) -> None:
    study = {
        "name": "piped",
        "base": BASE,
        "task": {"kind": "classify", "source": "-", "text": "text", "label": "side"},
        "methods": {"lora": {"rank": 2}},
        "protocol": {"epochs": 1, "seeds": 1},
    }
    (place / "study.yaml").write_text(dump_yaml(study))
    pipe(b"")
    done = cli("run", "study.yaml")
    assert done.code == 2
    assert "task.source is '-', and the standard input is empty" in done.message
    pipe(lines(ROWS))
    done = cli("run", "study.yaml")
    assert done.code == 0, done.err
    pipe(lines(ROWS[1:]))
    done = cli("run", "study.yaml")
    assert done.code == 2
    assert "task.source" in done.message


def test_init_keeps_piped_rows_beside_the_study(
    cli: Cli, place: Path, pipe: Callable[[bytes], None], quick: None
) -> None:
    pipe(lines(ROWS))
    done = cli("init", "-", *SHORT, "--out", "studies/s.yaml")
    assert done.code == 0, done.err
    [kept] = (place / "studies/data").iterdir()
    study = load_yaml((place / "studies/s.yaml").read_text(), where="study")
    assert study["task"]["source"] == f"data/{kept.name}/rows.jsonl"
    assert study["name"] == "stdin"
    done = cli("run", "studies/s.yaml", *QUICK)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "the standard input is empty"),
        (b"text,side\nx,y\n", "the standard input: holds 1 usable row"),
    ],
)
def test_piped_rows_that_are_none(
    cli: Cli, place: Path, pipe: Callable[[bytes], None], content: bytes, rule: str
) -> None:
    for command in ("init", "run --data"):
        pipe(content)
        done = cli(*command.split(), "-", "--base", BASE)
        assert done.code == 2
        assert rule in done.message
    assert not (place / "data").exists()


def test_the_standard_input_is_given_alone(cli: Cli, place: Path) -> None:
    done = cli("init", "-", "a.csv", "--base", BASE)
    assert done.code == 2
    assert "give it alone, or name files alone" in done.message


def test_sources_of_the_command_line_and_beside_the_study(
    cli: Cli, place: Path, quick: None, trained: list[str]
) -> None:
    (place / "far").mkdir()
    splits(place / "far/table", "a.jsonl", "b.jsonl")
    study = {
        "name": "far",
        "base": BASE,
        "task": {"kind": "classify", "source": "table/*.jsonl", "text": "text", "label": "side"},
        "methods": {"lora": {"rank": 2}},
        "protocol": {"epochs": 1, "seeds": 1},
    }
    (place / "far/study.yaml").write_text(dump_yaml(study))
    assert cli("run", "far/study.yaml", "--out", "out").code == 0
    kept = load_yaml((place / "out/study.yaml").read_text(), where="study")
    assert kept["task"]["source"] == "far/table/*.jsonl"
    # The same files by other names are the same data.
    named = "task.source=[far/table/a.jsonl,far/table/b.jsonl]"
    again = cli("run", "far/study.yaml", "--out", "out", "--set", named)
    assert again.code == 0, again.err
    assert len(trained) == 1
    other = "task.source=[far/table/b.jsonl,far/table/a.jsonl]"
    assert cli("run", "far/study.yaml", "--out", "out", "--set", other).code == 2
