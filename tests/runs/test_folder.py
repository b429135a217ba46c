"""The run's folder: every file whole or not there, also when the disk is full."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff import files as store
from bakeoff.config import dump_yaml, load_yaml
from bakeoff.errors import StoreError
from bakeoff.execution import archive
from bakeoff.files import folder_bytes
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.reading import finite, results_from
from tests.golden_folders import golden

Run = Callable[..., Any]
STUDY = {"name": "x", "protocol": {"epochs": 1}}


class FullDisk:
    """The writer's view of the operating system, with no space left from one write on."""

    def __init__(self, call: str, writes_left: int) -> None:
        self.writes_left = writes_left
        self.view = SimpleNamespace(**vars(os))
        working = getattr(os, call)

        def guarded(*arguments: Any) -> Any:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return working(*arguments)

        setattr(self.view, call, guarded)


def assert_whole(folder: Path) -> None:
    """No half-written file, and all that is there can be read."""
    assert list(folder.rglob("*.part")) == []
    for file in folder.rglob("*.json"):
        json.loads(file.read_text(encoding="utf-8"))
    for file in folder.rglob("*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            json.loads(line)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.soak)])
def test_a_disk_that_is_full_at_any_moment_leaves_whole_files(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch, call: str, step: int
) -> None:
    assert run_small().code == 0  # what is prepared once for all runs is in the cache then
    (place / "out").rename(place / "before")
    counting = FullDisk(call, 1000)
    monkeypatch.setattr(store, "os", counting.view)
    assert run_small().code == 0
    num_writes = 1000 - counting.writes_left
    assert num_writes >= 8

    for moment in range(0, num_writes, step):
        monkeypatch.setattr(store, "os", FullDisk(call, moment).view)
        (place / "out").rename(place / f"out{moment}")
        outcome = run_small()
        assert outcome.code == 2, (moment, outcome.err)
        assert "free some space and run the same command again" in outcome.message
        assert str(Path("out")) in outcome.message
        assert "Traceback" not in outcome.err
        assert_whole(place / "out")
        # After the results come their folder's sync and `hashes.json`.
        is_last = moment == num_writes - 1
        assert call == "fsync" or is_last or not (place / "out/results.json").exists()

    monkeypatch.setattr(store, "os", os)
    assert run_small().code == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        Exception("No space left on device (os error 28)"),  # as the tokenizers library says it
    ],
)
def test_a_full_disk_while_an_adapter_is_written_stops_the_study(
    run_small: Run,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: Run,
    error: Exception,
) -> None:
    from bakeoff.methods.low_rank.lora import Lora

    def save(self: Any, tensors: Any, folder: Path) -> None:
        (folder / "half").write_text("x", encoding="utf-8")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Lora, "save", save)
        outcome = run_small()
    assert outcome.code == 2
    assert "free some space" in outcome.message
    assert_whole(place / "out")
    assert not (place / "out/candidates/lora-lr0.01-s0/record.json").exists()

    assert run_small().code == 0
    assert results()["status"] == "complete"


@pytest.mark.usefixtures("quick")
def test_results_that_were_there_survive_a_full_disk(
    run_small: Run,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    contents: Callable[[Path], Mapping[str, bytes]],
) -> None:
    run_small()
    torn = place / "out/candidates/lora-lr0.01-s0/predictions.jsonl"
    torn.unlink()
    partial = (place / "out/results.json").read_text(encoding="utf-8")
    (place / "out/results.json").write_text(
        partial.replace('"complete"', '"partial"'), encoding="utf-8"
    )
    before = dict(contents(place / "out"))
    monkeypatch.setattr(store, "os", FullDisk("fsync", 0).view)
    assert run_small().code == 2
    after = dict(contents(place / "out"))
    for name in [n for n in after if n.startswith("cohorts/")] + ["run.log"]:
        del after[name]
    del before["run.log"]
    assert after == before


def test_a_folder_that_takes_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("bakeoff.runs.folder.tempfile.TemporaryFile", refuse)
    with pytest.raises(StoreError, match=r"run: cannot be written \(Permission denied\): .*--out"):
        RunFolder(tmp_path / "run", STUDY)


def test_only_a_claimed_folder_belongs_to_a_study(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", STUDY)
    assert list((tmp_path / "run").iterdir()) == []
    RunFolder(tmp_path / "run", {"name": "y"}).claim({}, {"torch": "1"})
    with pytest.raises(StoreError, match="name: 'y' and 'x'"):
        RunFolder(tmp_path / "run", STUDY)


def test_the_differences_are_named_up_to_a_dozen(tmp_path: Path) -> None:
    RunFolder(tmp_path, {f"key{i}": i for i in range(40)}).claim({}, {"torch": "1"})
    with pytest.raises(StoreError) as caught:
        RunFolder(tmp_path, {f"key{i}": i + 1 for i in range(40)})
    assert str(caught.value).count("\n  key") == 12


def test_fresh_refuses_a_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/letter").touch()
    with pytest.raises(StoreError, match="holds files but no study"):
        RunFolder(tmp_path / "run", STUDY, fresh=True)
    assert (tmp_path / "run/letter").exists()


ROWS = "rows-" + 32 * "a"


def test_rows_that_were_given_before_the_first_run_do_not_refuse_the_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / ROWS).mkdir(parents=True)
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    assert (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize("name", ["data/letters", f"photos/{ROWS}"])
def test_a_folder_that_holds_other_folders_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(StoreError, match="holds files but no study"):
        RunFolder(tmp_path, STUDY)


def test_a_study_that_was_cut_at_its_first_write_is_written_again(tmp_path: Path) -> None:
    """As the power leaves it: whole YAML with fewer keys, and nothing trained."""
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    whole = (tmp_path / "study.yaml").read_text(encoding="utf-8")
    (tmp_path / "study.yaml").write_text("name: x\n", encoding="utf-8")
    notes = RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    assert len(notes) == 1 and "study.yaml: was torn or edited" in notes[0]
    assert (tmp_path / "study.yaml").read_text(encoding="utf-8") == whole
    assert (tmp_path / "study.previous.yaml").read_text(encoding="utf-8") == "name: x\n"
    assert RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"}) == []


def test_a_study_file_that_was_edited_is_compared_by_what_the_run_kept(tmp_path: Path) -> None:
    """``bakeoff run DIR`` takes the edited file for the study: its keys are what differs."""
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    edited = {"name": "x", "protocol": {"epochs": 2}}
    (tmp_path / "study.yaml").write_text("name: x\nprotocol: {epochs: 2}\n", encoding="utf-8")
    with pytest.raises(StoreError, match=r"protocol\.epochs: 1 and 2") as caught:
        RunFolder(tmp_path, edited)
    assert "study.yaml: was torn or edited since this run wrote it" in str(caught.value)
    with pytest.raises(StoreError) as caught:
        RunFolder(tmp_path, {"name": "z", "protocol": {"epochs": 1}})
    assert "epochs" not in str(caught.value)


def test_a_study_that_grew_by_an_edited_file_keeps_the_one_before(tmp_path: Path) -> None:
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    grown = {**STUDY, "methods": {"lora": {"kind": "lora"}}}
    (tmp_path / "study.yaml").write_text(dump_yaml(grown), encoding="utf-8")
    notes = RunFolder(tmp_path, grown).claim({}, {"torch": "1"})
    assert len(notes) == 1 and "the study in this folder changed: methods" in notes[0]
    assert load_yaml((tmp_path / "study.previous.yaml").read_text(), where="previous") == STUDY
    assert load_yaml((tmp_path / "study.yaml").read_text(), where="study") == grown
    assert RunFolder(tmp_path, grown).claim({}, {"torch": "1"}) == notes


def test_prices_may_be_edited(tmp_path: Path) -> None:
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    with (tmp_path / "study.yaml").open("a", encoding="utf-8") as file:
        file.write("prices: {device_hour: 2.5}\n")
    priced = {**STUDY, "prices": {"device_hour": 2.5}}
    assert RunFolder(tmp_path, priced).claim({}, {"torch": "1"}) == []


def test_a_study_without_what_the_run_kept_of_it_is_refused_where_it_cannot_be_read(
    tmp_path: Path,
) -> None:
    """As in a folder of an older version."""
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    inputs = json.loads((tmp_path / "inputs.json").read_text(encoding="utf-8"))
    (tmp_path / "inputs.json").write_text(json.dumps(inputs | {"study": "name: ["}))
    assert RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"}) == []
    assert json.loads((tmp_path / "inputs.json").read_text(encoding="utf-8")) == inputs
    (tmp_path / "inputs.json").unlink()
    (tmp_path / "study.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(StoreError, match=r"study\.yaml: cannot be read back"):
        RunFolder(tmp_path, STUDY)


def test_fresh_works_from_inside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunFolder(tmp_path / "run", STUDY).claim({}, {"torch": "1"})
    monkeypatch.chdir(tmp_path / "run")
    RunFolder(Path(), {"name": "y"}, fresh=True).claim({}, {"torch": "1"})
    assert (tmp_path / "run/study.yaml").read_text(encoding="utf-8") == "name: 'y'\n"
    assert len(list(tmp_path.glob("run.before-*/study.yaml"))) == 1


def test_what_a_killed_run_left_half_written_does_not_refuse_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".abc.part").touch()
    RunFolder(tmp_path, STUDY).claim({}, {"torch": "1"})
    assert (tmp_path / "study.yaml").exists()


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, STUDY)
    folder.write_json("deep/er/a.json", {"a": [1.5, float("nan"), float("inf")], "ü": "é"})
    assert folder.read_json("deep/er/a.json") == {"a": [1.5, None, None], "ü": "é"}
    with pytest.raises(TypeError):
        folder.write_json("deep/er/a.json", {"a": object()})
    assert folder.read_json("deep/er/a.json") == {"a": [1.5, None, None], "ü": "é"}
    assert (tmp_path / "deep/er/a.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [None, b"", b'{"a": ', b"\xff"])
def test_a_torn_file_reads_as_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
        (tmp_path / "a.jsonl").write_bytes(b'{"b": 1}\n' + (content or b"{"))
    folder = RunFolder.__new__(RunFolder)
    folder.path = tmp_path
    assert folder.read_json("a.json") is None
    assert folder.read_lines("a.jsonl") is None


def test_lines_keep_unicode_line_ends_inside_text(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, STUDY)
    rows = [{"text": "a\u2028b\x85c\n"}, {"text": ""}]
    folder.write_lines("a.jsonl", rows)
    assert folder.read_lines("a.jsonl") == rows


def test_a_new_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, STUDY)
    with folder.new_folder("made") as beside:
        (beside / "old").touch()
        assert not (tmp_path / "made").exists()
    with pytest.raises(ValueError, match="broken"), folder.new_folder("made") as beside:
        (beside / "new").touch()
        raise ValueError("broken")
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["old"]
    with folder.new_folder("made") as beside:
        (beside / "new").touch()
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_sizes_and_numbers() -> None:
    assert finite({"a": (1, float("-inf"), {"b": float("nan")})}) == {"a": [1, None, {"b": None}]}
    here = Path(archive.__file__).parents[1] / "study"
    assert folder_bytes(here / "demo.yaml") == 0
    assert folder_bytes(here) >= (here / "demo.yaml").stat().st_size > 0


def test_other_inputs_under_the_same_study_are_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", STUDY).claim({"base": "a", "data": "b"}, {"torch": "1"})
    again = RunFolder(tmp_path / "run", STUDY)
    again.claim({"base": "a", "data": "b"}, {"torch": "1"})
    with pytest.raises(StoreError, match="the data changed since"):
        again.claim({"base": "a", "data": "c"}, {"torch": "1"})
    again.claim({"base": "a", "data": "b"}, {"torch": "1"}, also={"more": "d"})
    again.claim({"base": "a", "data": "b"}, {"torch": "1"}, also={"more": "d"})
    with pytest.raises(StoreError, match="the more changed since it was first asked"):
        again.claim({"base": "a", "data": "b"}, {"torch": "1"}, also={"more": "e"})
    with pytest.raises(StoreError, match="the data changed since this run began"):
        again.claim({"base": "a", "data": "c"}, {"torch": "1"}, also={"more": "e"})


def test_results_of_a_study_that_has_grown_since_are_not_the_folder_s(tmp_path: Path) -> None:
    results = golden("four")
    grown = {**results.study, "also_test": {"more": {}}}
    assert RunFolder(tmp_path / "a", results.study).holds(results)
    assert not RunFolder(tmp_path / "b", grown).holds(results)


def test_lines_are_written_only_where_the_file_holds_others(tmp_path: Path) -> None:
    folder, file = RunFolder(tmp_path, STUDY), tmp_path / "a.jsonl"
    for rows in ([{"a": 1}], [{"a": 1}, {"a": 2}]):
        folder.keep_lines("a.jsonl", rows)
        assert folder.read_lines("a.jsonl") == rows
    before = file.stat().st_ino
    folder.keep_lines("a.jsonl", [{"a": 1}, {"a": 2}])
    assert file.stat().st_ino == before, "a file that is written is another one"


def test_results_that_hold_more_are_kept_until_there_are_some_that_hold_as_much(
    tmp_path: Path,
) -> None:
    whole = golden("four")
    less, least = replace(whole, status="partial"), replace(whole, status="partial", candidates={})
    folder, kept = RunFolder(tmp_path, STUDY), tmp_path / "results.previous.json"
    folder.write_results(less)
    folder.write_results(less)
    assert not kept.exists()
    for results, held in ((least, less), (whole, less), (less, whole), (least, whole)):
        folder.write_results(results)
        assert results_from(folder.read_json(kept.name), where="kept") == held
    (tmp_path / "results.json").write_bytes(b"torn")
    folder.write_results(less)
    assert results_from(folder.read_json(kept.name), where="kept") == whole
    kept.unlink()
    (tmp_path / "results.json").write_bytes(b"torn")
    folder.write_results(less)
    assert kept.read_bytes() == b"torn"
