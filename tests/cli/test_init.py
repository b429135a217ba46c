"""``bakeoff init`` and ``bakeoff run --data``: from a CSV file to an answer."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bakeoff
from bakeoff.cli.app import app
from bakeoff.config import load_yaml
from bakeoff.errors import ConfigError, DataError

Cli = Callable[..., Any]
BASE = "scratch:tiny-gpt-neo"


@pytest.fixture
def reviews(place: Path) -> Path:
    """German columns, labels as numbers, a column that numbers the rows."""
    file = place / "Bewertungen 2024.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Nr", "Rückmeldung", "Sterne"])
        for i in range(60):
            word = "prima" if i % 2 else "übel"
            writer.writerow([i, f"Gerät {i}: {word}, sagt der Kunde.", 5 if i % 2 else 1])
    return file


def study_in(file: Path) -> dict[str, Any]:
    return load_yaml(file.read_text(encoding="utf-8"), where=str(file))


def test_init_writes_a_study_that_runs(cli: Cli, reviews: Path, quick: None) -> None:
    done = cli("init", reviews.name, "--base", BASE, "--methods", "lora")
    assert done.code == 0, done.err
    study = study_in(reviews.parent / "study.yaml")
    task = study["task"]
    assert (study["name"], study["base"]) == ("Bewertungen-2024", BASE)
    assert (task["kind"], task["text"], task["label"]) == ("classify", "Rückmeldung", "Sterne")
    assert task["source"] == reviews.name
    assert list(study["methods"]) == ["lora"]
    written = (reviews.parent / "study.yaml").read_text(encoding="utf-8")
    assert all(f"{key}:" in written for key in ("bases", "templates")), "said in a comment"
    for part in ("task: classify, as 'Sterne' holds 2 different values", "bakeoff run study.yaml"):
        assert part in " ".join(done.out.split())
    ran = cli("run", "study.yaml", "--set", "protocol.epochs=1", "--seeds", "1")
    assert ran.code == 0, ran.err
    results = json.loads((reviews.parent / "runs/Bewertungen-2024/results.json").read_text())
    assert results["status"] == "complete"
    assert results["task"]["kind"] == "classify"


def test_run_makes_the_study_itself_and_goes_on_with_it(
    cli: Cli, reviews: Path, quick: None, trained: list[str]
) -> None:
    command = ("run", "--data", reviews.name, "--base", BASE, "--methods", "lora", "--seeds", "1")
    short = ("--set", "protocol.epochs=1", "--out", "out")
    first = cli(*command, *short)
    assert first.code == 0, first.err
    assert "task: classify" in first.out
    assert study_in(reviews.parent / "out/study.yaml")["task"]["text"] == "Rückmeldung"
    assert len(trained) == 1
    again = cli(*command, *short)
    assert again.code == 0, again.err
    assert "It goes on with the study in out" in again.out
    assert "task: classify" not in again.out
    assert "This study is complete; nothing is trained." in again.out
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: caf\xe9\n", "can't decode byte 0xe9"),
        (b"name: [", "study.yaml, line 1"),
        (b"name: rows\ntask: null\n", "task: None is no mapping"),
        (b"name: rows\nmethods: [lora]\n", "methods: ['lora'] is no mapping"),
    ],
)
def test_a_study_that_cannot_be_read_back_is_named(
    cli: Cli, reviews: Path, content: bytes, said: str
) -> None:
    file = reviews.parent / "out/study.yaml"
    file.parent.mkdir()
    file.write_bytes(content)
    outcome = cli(
        "run", "--data", reviews.name, "--base", BASE, "--methods", "lora", "--out", "out"
    )
    assert outcome.code == 2
    assert "out/study.yaml: cannot be read back" in outcome.message
    assert said in outcome.message and "--fresh" in outcome.message
    assert file.read_bytes() == content


def test_what_is_printed_fits_eighty_columns(
    cli: Cli, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = cli("init", reviews.name, "--base", BASE)
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_study_that_is_there_is_not_written_over(cli: Cli, reviews: Path) -> None:
    (reviews.parent / "study.yaml").write_text("name: mine\n")
    done = cli("init", reviews.name, "--base", BASE)
    assert done.code == 2
    assert "study.yaml: exists already" in done.message
    assert (reviews.parent / "study.yaml").read_text() == "name: mine\n"


def test_a_study_elsewhere_finds_its_data(cli: Cli, reviews: Path) -> None:
    assert cli("init", reviews.name, "--base", BASE, "--out", "studies/one.yaml").code == 0
    assert study_in(reviews.parent / "studies/one.yaml")["task"]["source"] == str(reviews)


def split(file: Path, folder: Path, word: str) -> None:
    """The rows of a file as a folder of splits, with another word."""
    folder.mkdir(parents=True)
    header, *rows = file.read_text(encoding="utf-8").replace("Kunde", word).splitlines()
    for name, part in (("train", rows[:40]), ("test", rows[40:])):
        (folder / f"{name}.csv").write_text("\n".join([header, *part]), encoding="utf-8")


@pytest.mark.parametrize("is_another", [True, False], ids=["one of that name here", "none"])
def test_a_study_beside_its_data_reads_those(cli: Cli, reviews: Path, is_another: bool) -> None:
    beside = reviews.parent / "sub" / "reviews.csv"
    beside.parent.mkdir()
    beside.write_bytes(reviews.read_bytes())
    if is_another:
        reviews.rename(reviews.parent / beside.name)
    assert cli("init", "sub/reviews.csv", "--base", BASE, "--out", "sub/study.yaml").code == 0
    source = study_in(beside.parent / "study.yaml")["task"]["source"]
    assert source == (str(beside) if is_another else beside.name)
    study = bakeoff.Study.load(reviews.parent / "sub" / "study.yaml")
    assert Path(str(study.at(reviews.parent).task.options.source)).resolve() == beside


def test_a_pattern_beside_a_study_is_not_the_one_from_here(cli: Cli, reviews: Path) -> None:
    beside = reviews.parent / "sub"
    beside.mkdir()
    (beside / "part.csv").write_bytes(reviews.read_bytes())
    assert cli("init", "sub/*.csv", "--base", BASE, "--out", "sub/study.yaml").code == 0
    assert study_in(beside / "study.yaml")["task"]["source"] == str(beside / "*.csv")


@pytest.mark.parametrize("name", ["wire", "wire-0.3m"])
def test_a_folder_called_like_a_word_of_the_study_stays_a_folder(
    cli: Cli, reviews: Path, name: str
) -> None:
    split(reviews, reviews.parent / "sub" / name, "Gast")
    assert cli("init", f"sub/{name}", "--base", BASE, "--out", "sub/study.yaml").code == 0
    assert study_in(reviews.parent / "sub/study.yaml")["task"]["source"] == f"./{name}"
    study = bakeoff.Study.load(reviews.parent / "sub" / "study.yaml")
    found = Path(str(study.at(reviews.parent).task.options.source)).resolve()
    assert found == reviews.parent / "sub" / name


def test_a_study_inside_its_folder_of_data_is_not_about_the_folder_here(
    cli: Cli, reviews: Path
) -> None:
    folder = reviews.parent / "sub"
    split(reviews, folder, "Gast")
    assert cli("init", "sub", "--base", BASE, "--out", "sub/study.yaml").code == 0
    assert study_in(folder / "study.yaml")["task"]["source"] == str(folder)


def test_the_kind_that_is_asked_for_is_taken(cli: Cli, reviews: Path) -> None:
    assert cli("init", reviews.name, "--base", BASE, "--kind", "text").code == 0
    task = study_in(reviews.parent / "study.yaml")["task"]
    assert (task["kind"], task["text"]) == ("text", "Rückmeldung")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("init", "none.csv"), "none.csv: there is no such file or folder"),
        (("init", "{data}", "--kind", "chatt"), "there is no kind of task 'chatt'; did you mean"),
        (("init", "{data}", "--methods", "lorra"), "did you mean 'lora'"),
        (("init", "{data}", "--methods", ","), "names no method"),
        (("init", "{data}", "--base", "nobody/nothing"), "cannot be reached"),
        (("run", "study.yaml", "--data", "{data}"), "give a study or data, not both"),
        (("run", "study.yaml", "--base", BASE), "--base scratch:tiny-gpt-neo: says how a study"),
        (("run", "--kind", "text"), "says how a study is made of --data, which is not given"),
    ],
)
def test_bad_calls_are_refused(
    cli: Cli, reviews: Path, arguments: tuple[str, ...], rule: str
) -> None:
    called = [reviews.name if one == "{data}" else one for one in arguments]
    given = called if "--base" in called else [*called, *(("--base", BASE) * ("init" in called))]
    done = cli(*given)
    assert done.code == 2
    assert rule in done.message
    assert not (reviews.parent / "study.yaml").exists()


def test_from_python_a_file(reviews: Path) -> None:
    said: list[str] = []
    study = bakeoff.init(reviews, base=BASE, methods=["lora"], out="s.yaml", report=said.append)
    assert repr(study) == f"Study('Bewertungen-2024': classify with {BASE}; lora)"
    assert study_in(reviews.parent / "s.yaml")["task"]["label"] == "Sterne"
    assert said[1].startswith("task: classify")
    with pytest.raises(ConfigError, match=r"s\.yaml: exists already"):
        bakeoff.init(reviews, base=BASE, out="s.yaml")


def tables() -> Iterator[Any]:
    """The same rows as a list, by split, and as a DataFrame."""
    import pandas as pd

    rows = [{"words": f"Row {i} is here", "side": ["left", "right"][i % 2]} for i in range(60)]
    yield rows
    yield {"train": rows[:40], "validation": rows[40:50], "test": rows[50:]}
    yield pd.DataFrame(rows)


def test_from_python_rows_in_memory(place: Path) -> None:
    for table in tables():
        study = bakeoff.init(table, base=BASE)
        assert repr(study) == f"Study('rows': classify with {BASE}; lora, soft_prompt)"
        assert study.rows is not None


def test_rows_in_memory_have_no_file(place: Path) -> None:
    with pytest.raises(ConfigError, match="a study of rows in memory has no file"):
        bakeoff.init([{"a": "b"}], base=BASE, out="s.yaml")
    with pytest.raises(DataError, match="data: names no columns"):
        bakeoff.init([], base=BASE)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("bakeoff init x.csv --kind ch", {"choose", "chat"}),
        ("bakeoff run --methods lora,soft_", {"lora,soft_prompt"}),
        ("bakeoff init x.csv --base ti", {"tiny"}),
    ],
)
def test_the_shell_completes_what_options_take(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    found: set[str],
) -> None:
    monkeypatch.setenv("_BAKEOFF_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="bakeoff")
    assert set(capsys.readouterr().out.split()) == found
