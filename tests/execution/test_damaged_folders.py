"""A run's folder that was harmed: each file is named, and nothing wrong passes as complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.folder import RunFolder
from bakeoff.runs.reading import RESULTS_FILE, read_results
from bakeoff.runs.storage import PREVIOUS_FILE
from tests.studies import without_times

Run = Callable[..., Any]
GOLDEN = Path(__file__).parents[1] / "golden/four"
ADAPTER = "candidates/lora-lr0.01-s0/adapter/adapter_model.safetensors"
pytestmark = pytest.mark.usefixtures("quick")


def as_partial(folder: Path) -> None:
    """The results say that something is missing, so that the next call looks at every part."""
    file = folder / RESULTS_FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | {"status": "partial"}), encoding="utf-8")


def test_every_torn_part_is_named_and_made_again(
    finished: Run, run_small: Run, place: Path, results: Callable[[], dict[str, Any]]
) -> None:
    finished()
    before = results()
    as_partial(place / "out")
    zero_shot = place / "out/baselines/zero_shot/record.json"
    content = json.loads(zero_shot.read_text(encoding="utf-8"))
    zero_shot.write_text(json.dumps(content | {"made_with": {"slots": "x"}}), encoding="utf-8")
    harmed = ("baselines/lead/record.json", "costs.json", "candidates/lora-lr0.01-s0/record.json")
    for name in harmed:
        (place / "out" / name).write_text("[", encoding="utf-8")
    (place / "out/notes.json").write_text('["said before"]', encoding="utf-8")
    outcome = run_small()
    assert outcome.code == 0, outcome.err
    out = " ".join(outcome.out.split())
    for name in harmed:
        assert f"out/{name}: is torn" in out
    assert "zero_shot/record.json: " in out
    assert "said before" in results()["notes"]
    assert results()["status"] == "complete"
    assert without_times(results()["baselines"]) == without_times(before["baselines"])
    assert results()["methods"]["lora"]["test"] == before["methods"]["lora"]["test"]


@pytest.mark.parametrize("content", ["", "[]", None])
def test_parts_without_the_inputs_that_they_were_made_from_are_refused(
    finished: Run, run_small: Run, place: Path, content: str | None
) -> None:
    finished()
    as_partial(place / "out")
    before = (place / "out/results.json").read_bytes()
    inputs = place / "out/inputs.json"
    if content is None:
        inputs.unlink()
    else:
        inputs.write_text(content, encoding="utf-8")
    outcome = run_small()
    assert outcome.code == 2
    assert "out/inputs.json: is missing or torn" in outcome.message
    assert (place / "out/results.json").read_bytes() == before


def test_torn_results_are_named_and_kept(finished: Run, run_small: Run, place: Path) -> None:
    finished()
    file = place / "out/results.json"
    torn = file.read_bytes()[:-9]
    file.write_bytes(torn)
    outcome = run_small()
    assert outcome.code == 0
    assert "out/results.json: not readable as JSON" in " ".join(outcome.out.split())
    assert (place / "out" / PREVIOUS_FILE).read_bytes() == torn


def test_kept_results_are_not_replaced_by_ones_that_hold_less(tmp_path: Path) -> None:
    whole = read_results(GOLDEN)
    name = next(iter(whole.candidates))
    fewer = {k: v for k, v in whole.candidates.items() if k != name}
    least = {k: replace(v, epochs=()) for k, v in fewer.items()}
    folder = RunFolder(tmp_path / "out", {"name": "x"})
    for results in (
        whole,
        replace(whole, status="partial", candidates=fewer),
        replace(whole, status="partial", candidates=least),
    ):
        folder.write_results(results)
    kept = json.loads((tmp_path / "out" / PREVIOUS_FILE).read_text(encoding="utf-8"))
    assert kept["status"] == "complete" and name in kept["candidates"]


def test_predict_and_export_read_results_as_the_report_does(
    finished: Run, cli: Run, place: Path
) -> None:
    finished()
    (place / "one.txt").write_text("The fair of Arden drew 100 people.", encoding="utf-8")
    commands = (
        ("predict", "out", "one.txt", "--candidate", "lora-lr0.01-s0"),
        ("export", "out", "--candidate", "lora-lr0.01-s0", "--to", "peft", "--out", "exported"),
    )
    adapter = place / "out" / ADAPTER
    good = adapter.read_bytes()
    adapter.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    for command in commands:
        outcome = cli(*command)
        assert outcome.code == 2
        assert f"out/{ADAPTER}: its content changed" in outcome.message
    adapter.write_bytes(good)
    file = place / "out/results.json"
    written = file.read_bytes()
    flip(file)
    for command in commands:
        outcome = cli(*command)
        assert outcome.code == 0, outcome.err
        assert "out/results.json: its content changed since it was written" in outcome.message
        shutil.rmtree(place / "exported", ignore_errors=True)
    file.write_bytes(written)
    content = json.loads(file.read_text(encoding="utf-8"))
    for harmed, words in (
        (content | {"schema": 3}, "schema is 3"),
        (content | {"candidates": {"lora-lr0.01-s0": {"state": "X"}}}, "method is missing"),
        (content | {"methods": []}, "methods is []"),
    ):
        file.write_text(json.dumps(harmed), encoding="utf-8")
        for command in commands:
            outcome = cli(*command)
            assert outcome.code == 2
            assert "out/results.json: " in outcome.message and words in outcome.message


def test_a_baseline_that_fails_takes_no_method_along(
    run_small: Run,
    place: Path,
    results: Callable[[], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    trained: list[str],
) -> None:
    def broken(*_: Any) -> Any:
        raise ArithmeticError("no such sentence")

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.tasks.summarize.lead", broken)
        outcome = run_small()
    assert outcome.code == 0, outcome.err
    assert "the baseline lead-3 failed: ArithmeticError: no such sentence" in outcome.out
    written = (place / "out/baselines/lead/error.txt").read_text(encoding="utf-8")
    assert written.startswith("Traceback") and "ArithmeticError" in written
    assert results()["status"] == "partial"
    assert results()["methods"]["lora"]["state"] == "COMPLETE"
    trained.clear()
    assert run_small().code == 0
    assert trained == [] and results()["status"] == "complete"
    assert "lead" in results()["baselines"]


def flip(file: Path) -> None:
    """Turns one bit: of the last digit into another's, where there is one."""
    content = bytearray(file.read_bytes())
    digits = [i for i, byte in enumerate(content) if byte in b"23456789"]
    at = digits[-1] if file.suffix.startswith(".json") else len(content) // 2
    content[at] ^= 1
    file.write_bytes(bytes(content))


def test_a_complete_run_looks_at_every_file_that_it_promises(
    finished: Run,
    run_small: Run,
    place: Path,
    results: Callable[[], dict[str, Any]],
    trained: list[str],
) -> None:
    finished()
    out, before = place / "out", results()
    trained.clear()
    promised = {
        "results.json": ("results.json", "what rests on it is made again"),
        "examples.jsonl": ("examples.jsonl", "what rests on it is made again"),
        "hashes.json": ("hashes.json", "is torn or changed"),
        "candidates/lora-lr0.01-s0/metrics.jsonl": ("metrics.jsonl", "is made again"),
        "candidates/lora-lr0.01-s0/record.json": ("record.json", "written again from results.json"),
        "baselines/lead/record.json": ("lead/record.json", "What it held is made again"),
    }
    for name, words in promised.items():
        whole = (out / name).read_bytes()
        flip(out / name)
        outcome = run_small()
        assert outcome.code == 0, outcome.err
        said = " ".join(outcome.out.split())
        assert all(word in said for word in words), (name, said)
        assert results()["methods"]["lora"]["test"] == before["methods"]["lora"]["test"]
        assert name in ("results.json", "hashes.json") or (out / name).read_bytes() == whole
        assert "is complete; nothing is trained" in run_small().out
    assert trained == []


def test_the_report_says_which_of_its_files_changed(finished: Run, cli: Run, place: Path) -> None:
    finished()
    for name in ("results.json", "examples.jsonl", "candidates/lora-lr0.01-s0/predictions.jsonl"):
        whole = (place / "out" / name).read_bytes()
        flip(place / "out" / name)
        assert cli("report", "out", "--format", "md").code == 0
        assert f"out/{name}: its content changed" in (place / "out/report.md").read_text("utf-8")
        (place / "out" / name).write_bytes(whole)
    assert cli("report", "out", "--format", "md").code == 0
    assert "its content changed" not in (place / "out/report.md").read_text("utf-8")


def test_a_state_for_more_epochs_that_is_torn_is_named_and_removed(
    finished: Run, run_small: Run, place: Path, trained: list[str]
) -> None:
    finished()
    [file] = place.glob("out/candidates/lora-lr0.01-s0/last-*.safetensors")
    flip(file)
    trained.clear()
    said = " ".join(run_small().out.split())
    assert f"{file.name}: its content changed since it was written, so it was removed" in said
    assert trained == [] and not file.exists()
    assert file.name not in run_small().out


def test_no_state_for_more_epochs_is_kept_where_the_rate_falls(run_small: Run, place: Path) -> None:
    assert run_small(protocol={"schedule": "linear"}).code == 0
    assert not list(place.glob("out/candidates/*/last-*"))


@pytest.mark.parametrize("name", ["costs.json", "candidates/lora-lr0.01-s0/record.json"])
def test_a_changed_number_of_an_incomplete_run_is_never_taken_up(
    finished: Run, run_small: Run, place: Path, results: Callable[[], dict[str, Any]], name: str
) -> None:
    finished()
    before = results()
    as_partial(place / "out")
    file = place / "out" / name
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('": 0.', '": 7.').replace('": 5.', '": 7.'), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != text
    outcome = run_small()
    assert f"out/{name}: is torn" in " ".join(outcome.out.split())
    assert without_times(results()["candidates"]) == without_times(before["candidates"])


def test_a_changed_event_is_refused_by_its_line(finished: Run, run_small: Run, place: Path) -> None:
    finished()
    as_partial(place / "out")
    file = place / "out/events.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[0] = lines[0].replace('"width": 1', '"width": 2')
    file.write_text("".join(lines), encoding="utf-8")
    outcome = run_small()
    assert outcome.code == 2
    assert "events.jsonl, line 1: changed since it was written" in outcome.message


@pytest.mark.parametrize("harm", ["cut", "flipped", "torn"])
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_changed_study_is_written_again(
    finished: Run, run_small: Run, place: Path, harm: str, is_complete: bool
) -> None:
    finished()
    if not is_complete:
        as_partial(place / "out")
    file = place / "out/study.yaml"
    text = file.read_text(encoding="utf-8")
    at = text.index("  temperature:")
    changed = {
        "cut": text[:at],
        "flipped": text.replace("  temperature:", "  temp%rature:"),
        "torn": text[: at + 5],
    }[harm]
    file.write_text(changed, encoding="utf-8")
    other = run_small(protocol={"weight_decay": 0.5})
    assert other.code == 2 and "holds the results of another study" in other.message
    assert "protocol.weight_decay" in other.message
    assert "out/study.yaml: was torn or edited since this run wrote it" in other.message
    assert file.read_text(encoding="utf-8") == changed

    outcome = run_small()
    assert outcome.code == 0, outcome.err
    assert "out/study.yaml: was torn or edited since this run wrote it" in outcome.words
    assert file.read_text(encoding="utf-8") == text
    assert (place / "out/study.previous.yaml").read_text(encoding="utf-8") == changed
    assert "torn or edited" not in run_small().words
