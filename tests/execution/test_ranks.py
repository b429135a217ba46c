"""A base, and full tuning, shared out among processes: results are those of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.torch import load_file as tensors_in

from bakeoff import ranks as ranks_module
from bakeoff.api import RunSettings, execute
from bakeoff.api.running import _shared
from bakeoff.api.study import Study
from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError
from bakeoff.ranks import Ranks, largest, share_of, started_together
from bakeoff.runs.events import EventLog, Narrowed
from bakeoff.runs.reading import read_results
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import check_sharing
from bakeoff.types import RunState
from tests.execution.rank_process import held_part, run_study, together
from tests.studies import small_study

TOLERANCE = 1e-4
# Three passes of an update, so that one of two processes has one less.
PROTOCOL = {"epochs": 2, "micro_batch_size": 3}
METHODS: dict[str, Any] = {
    "lora": {"rank": 2, "learning_rate": 1e-2},
    "qlora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2, "quantization": "nf4"},
    "dora": {"rank": 2, "learning_rate": 1e-2},
    "full": {"learning_rate": 1e-3},
}


def written(place: Path, methods: dict[str, Any], **changes: Any) -> Path:
    """A study's file; of likelihoods alone without changes, as each token written costs a pass."""
    changes = {"protocol": PROTOCOL, **changes}
    study = small_study(base="scratch:tiny-llama", methods=methods, **changes)
    study["task"] = {"kind": "text", "source": "rows", "text": "text", "max_length": 64}
    del study["generation"]
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    return place / "study.yaml"


def assert_alike(one: Path, two: Path) -> None:
    """Losses, scores and trained tensors of two runs agree."""
    first, second = read_results(one), read_results(two)
    assert second.status == first.status == "complete"
    assert first.candidates.keys() == second.candidates.keys()
    for name, record in first.candidates.items():
        other = second.candidates[name]
        assert [e.epoch for e in record.epochs] == [e.epoch for e in other.epochs]
        for a, b in zip(record.epochs, other.epochs, strict=True):
            assert b.train_nll == pytest.approx(a.train_nll, abs=TOLERANCE)
            assert b.val_nll == pytest.approx(a.val_nll, abs=TOLERANCE)
        folder = Path("candidates") / name / "adapter"
        files = sorted(file.name for file in (one / folder).glob("*.safetensors"))
        assert files
        for file in files:
            ours, theirs = tensors_in(one / folder / file), tensors_in(two / folder / file)
            assert ours.keys() == theirs.keys()
            for key, tensor in ours.items():
                assert (tensor - theirs[key]).abs().max().item() < TOLERANCE, (name, key)
    for name, method in first.methods.items():
        for metric, score in method.test.items():
            assert second.methods[name].test[metric].mean == pytest.approx(score.mean, abs=1e-4)


def test_two_processes_find_what_one_finds(place: Path) -> None:
    """The full-precision LoRA over two epochs is below."""
    pytest.importorskip("bitsandbytes")
    methods = {name: method for name, method in METHODS.items() if name != "lora"}
    file = written(place, methods, protocol={**PROTOCOL, "epochs": 1})
    assert run_study(file, place / "one") == 0
    assert together(run_study, file, place / "two") == [0, 0]
    assert_alike(place / "one", place / "two")
    notes = json.loads((place / "two" / "results.json").read_text(encoding="utf-8"))["notes"]
    assert any("2 processes shared the base and the rows" in note for note in notes)


@pytest.mark.soak
def test_what_two_processes_saved_goes_on_in_one_and_back(place: Path) -> None:
    file = written(place, {"full": METHODS["full"], "lora": METHODS["lora"]})
    assert run_study(file, place / "one") == 0
    # In the middle of an epoch of each method; the last process alone gets the signal.
    assert together(run_study, file, place / "two", 2) == [143, 143]
    assert list((place / "two").glob("cohorts/*/*.safetensors"))
    assert run_study(file, place / "two", 7) == 143
    assert together(run_study, file, place / "two") == [0, 0]
    assert_alike(place / "one", place / "two")


def test_a_process_without_memory_ends_the_run_which_goes_on_with_fewer_rows(place: Path) -> None:
    """It tries nothing again, as the others are in the middle of the update's collectives; what it
    found reaches the folder, which the first process alone writes."""
    file = written(place, {"lora": METHODS["lora"]})
    assert run_study(file, place / "one") == 0
    assert together(run_study, file, place / "two", None, 6) == [2, 2]
    [record] = read_results(place / "two").candidates.values()
    assert record.state is not RunState.FAILED
    [narrowed] = [e for e in EventLog(place / "two").events if isinstance(e, Narrowed)]
    assert narrowed.micro_batch_size == PROTOCOL["micro_batch_size"] // 2
    assert together(run_study, file, place / "two") == [0, 0]
    assert_alike(place / "one", place / "two")
    [seen] = [e for e in EventLog(place / "two").events if isinstance(e, Narrowed)]
    assert seen == narrowed


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_each_process_holds_its_part_of_every_layer(place: Path, quantization: str) -> None:
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
    for share, gap in together(held_part, "scratch:tiny-llama", quantization):
        assert share < 0.6
        assert gap < 1e-5


@pytest.mark.soak
def test_torchrun_starts_it(place: Path) -> None:
    summaries = small_study()
    changes = {key: summaries[key] for key in ("task", "generation")}
    file = written(place, {"lora": METHODS["lora"]}, **changes)
    assert run_study(file, place / "one") == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "bakeoff", "run", str(file)]
    done = subprocess.run(
        [*command, "--out", str(place / "two"), "--device", "cpu"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The report:") == 1
    assert_alike(place / "one", place / "two")


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "_present", Ranks(count=2, rank=1, local_rank=1))


@pytest.mark.usefixtures("one_of_two")
def test_every_process_has_as_many_passes() -> None:
    assert share_of(["a", "b", "c", "d"]) == [("b", True), ("d", True)]
    assert share_of(["a", "b", "c"]) == [("b", True), ("c", False)]
    assert share_of(["a"]) == [("a", False)]
    assert share_of([]) == []


def test_one_process_has_all_passes() -> None:
    assert share_of(["a", "b"]) == [("a", True), ("b", True)]
    assert largest([3]) == [3]
    assert not started_together()


@pytest.mark.usefixtures("one_of_two")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"lo": {"kind": "peft", "peft_type": "LOHA"}}}, "methods.lo: peft"),
        (
            {
                "judge": {"endpoint": "http://localhost:1/v1", "model": "m"},
                "task": {"metrics": ["nll", "judge"]},
            },
            "judge: is asked by one",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(changes: dict[str, Any], words: str, place: Path) -> None:
    study = study_from_mapping(small_study(**changes), folder=place)
    with pytest.raises(ConfigError, match=words):
        check_sharing(study)


def test_a_budget_is_refused_and_the_others_are_quiet() -> None:
    second = Ranks(count=2, rank=1, local_rank=1)
    with pytest.raises(ConfigError, match="--budget: is kept by one process"):
        _shared(RunSettings(budget=60.0), Console(), second)
    settings, console = _shared(RunSettings(live=True), Console(), second)
    assert console.quiet and not settings.live and not settings.costs


def test_a_card_by_its_number_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    study = Study.load(written(place, {"head": {}}), [])
    with pytest.raises(ConfigError, match="gives each its own"):
        execute(study, place / "out", Console(quiet=True), RunSettings(device="cuda:0"))
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="WORLD_SIZE=two: is not a number"):
        started_together()
