"""Small studies on random bases and made rows, and the command line called in this process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from bakeoff.cli.main import main
from bakeoff.config import dump_yaml
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.train import Trainer
from bakeoff.execution.testing import TestingWorker
from bakeoff.measure.costs import measure_time
from bakeoff.measure.timing import Budget
from bakeoff.metrics.rouge import Scores, rouge_scores
from bakeoff.runs.reading import from_json
from bakeoff.runs.records import CostRecord
from bakeoff.study.measuring import opener_of

SIZES = {"train": 16, "validation": 4, "test": 4}
NO_TIME = Budget(train=0.0, evaluation=0.0)
CITIES = ("Arden", "Brill", "Corvo", "Delft", "Esker", "Fenwick", "Goole", "Hythe")

_TIMES = ("environment", "seconds", "cost", "checksum")
_NAME_TIMES = ("why", "changes")


_OF_SMALL_STUDIES = (
    *("still improving", "falls to zero"),
    *("fewer than 300", "fewer parameters than", "word for word"),
)


def telling(notes: Sequence[str]) -> list[str]:
    """The notes without those that every study of a few rows and short training gets."""
    return [note for note in notes if not any(words in note for words in _OF_SMALL_STUDIES)]


def without_times(tree: Any) -> Any:
    """A run's content without what no two runs share: times, and the answer's sentences on them."""
    if isinstance(tree, Mapping):
        return {
            key: without_times(
                {k: v for k, v in value.items() if k not in _NAME_TIMES}
                if key == "recommendation"
                else value
            )
            for key, value in tree.items()
            if key not in _TIMES
        }
    return [without_times(value) for value in tree] if isinstance(tree, list) else tree


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one call of the command line came to."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Standard error with its line ends as spaces."""
        return " ".join(self.err.split())

    @property
    def words(self) -> str:
        """All that it printed with its line ends as spaces."""
        return " ".join(f"{self.out} {self.err}".split())


def write_rows(folder: Path) -> Path:
    """One JSON-lines file a split: documents of about 60 bytes, summaries of about 15."""
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for split, size in SIZES.items():
        rows = []
        for i in range(start, start + size):
            city, number = CITIES[i % len(CITIES)], 100 + 37 * i
            document = f"The fair of {city} drew {number} people on day {i}, the mayor said."
            rows.append({"text": document, "short": f"{city} drew {number}."})
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
        start += size
    return folder


def small_study(**changes: Any) -> dict[str, Any]:
    """A study of one method on rows that lie in ``rows`` beside it."""
    study: dict[str, Any] = {
        "name": "small",
        "base": "scratch:tiny-gpt-neo",
        "task": {
            "source": "rows",
            "document": "text",
            "summary": "short",
            "max_length": 96,
            "max_target_tokens": 24,
        },
        "protocol": {
            "epochs": 1,
            "micro_batch_size": 4,
            "grad_accum_steps": 2,
            "schedule": "constant",
            "warmup_ratio": 0.0,
            "weight_decay": 0.01,
            "patience": 2,
            "seeds": [0],
        },
        "methods": {"lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2}},
        "generation": {"max_new_tokens": 8},
        "precision": "float32",
    }
    if "seeds" in (changes.get("search") or {}):
        del study["protocol"]["seeds"]
    for key, value in changes.items():
        study[key] = {**study[key], **value} if key in ("task", "protocol") else value
    return study


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: rows in it, every cache below it."""
    write_rows(tmp_path / "rows")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def small() -> Callable[..., dict[str, Any]]:
    """Makes a study of one method with some changes."""
    return small_study


@pytest.fixture
def cli(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Calls the entry point as the shell does, in this process."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # which the entry point would leave behind

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return Outcome(code=int(caught.value.code or 0), out=captured.out, err=captured.err)

    return call


@pytest.fixture
def run_small(place: Path, cli: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Writes a study with some changes and runs it in the folder ``out``."""

    def call(*arguments: object, **changes: Any) -> Outcome:
        file = place / "study.yaml"
        file.write_text(dump_yaml(small_study(**changes)), encoding="utf-8")
        return cli("run", file, "--out", "out", *arguments)

    return call


@pytest.fixture(scope="session")
def _finished_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """Folders of studies that this process has run to their ends, by all that made them."""
    return tmp_path_factory.mktemp("finished"), {}


@pytest.fixture
def finished(
    place: Path,
    run_small: Callable[..., Outcome],
    request: pytest.FixtureRequest,
    _finished_runs: tuple[Path, dict[str, Path]],
) -> Callable[..., None]:
    """Leaves in ``out`` what ``run_small`` leaves of a study that ends well.

    Trained once in a process and copied, so it is for tests of what happens to such a folder;
    whatever makes the run another one must be in its arguments or in ``rows``.
    """
    kept_in, known = _finished_runs

    def call(*arguments: object, **changes: Any) -> None:
        rows = {file.name: file.read_text("utf-8") for file in sorted((place / "rows").iterdir())}
        is_quick = "quick" in request.fixturenames
        made_from = json.dumps([arguments, changes, rows, is_quick])
        if made_from not in known:
            outcome = run_small(*arguments, **changes)
            assert outcome.code == 0, outcome.err
            kept = kept_in / str(len(known))
            known[made_from] = Path(shutil.copytree(place / "out", kept))
            return
        (place / "study.yaml").write_text(dump_yaml(small_study(**changes)), encoding="utf-8")
        shutil.copytree(known[made_from], place / "out")

    return call


class ScorerHere:
    """Scores in this process what ``RougeScorer`` scores in workers."""

    def __init__(self, *, workers: int | None = None) -> None:
        """Args: workers: of no meaning here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def submit(self, predictions: Sequence[str], references: Sequence[str]) -> ScoredHere:
        return ScoredHere(rouge_scores(predictions, references, workers=1))


@dataclass(frozen=True)
class ScoredHere:
    """Scores that are there at once."""

    scores: Scores

    def done(self) -> bool:
        return True

    def result(self) -> Scores:
        return self.scores


def measured_here(
    command: Sequence[str], job: Mapping[str, Any], names: Sequence[str], folder: Path
) -> Iterator[tuple[str, CostRecord]]:
    """Times each method in this process, from one step, instead of in processes of its own."""
    del command, folder
    bench = opener_of(job).bench()
    for name in names:
        yield name, from_json(CostRecord, measure_time(bench, name, NO_TIME), where="this process")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does in this process what takes others seconds to start; the report's pictures are left out.

    Costs are timed from one step, and memory, which needs a process of its own, is not measured.
    """
    monkeypatch.setattr("bakeoff.metrics.background.RougeScorer", ScorerHere)
    monkeypatch.setattr("bakeoff.study.costs.measure_costs", measured_here)
    monkeypatch.setattr("bakeoff.report.write_report", lambda folder, *_: folder / "report.html")


@pytest.fixture
def quick_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans time one step instead of seconds of them, and hold the base in no other format."""
    monkeypatch.setattr("bakeoff.measure.plan.SAMPLE", NO_TIME)
    monkeypatch.setattr("bakeoff.measure.plan.held_plans", lambda *_: ())


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all candidates that sit down to be trained, in order."""
    ids: list[str] = []
    sit_down = Trainer._sit_down

    def spy(self: Trainer, slot: int, candidate: Any, snapshot: Any) -> None:
        ids.append(candidate.id)
        sit_down(self, slot, candidate, snapshot)

    monkeypatch.setattr(Trainer, "_sit_down", spy)
    return ids


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the candidates that were tested, in order."""
    ids: list[str] = []
    test = TestingWorker._run

    def spy(self: TestingWorker, group: Sequence[Candidate]) -> None:
        ids.extend(candidate.id for candidate in group)
        test(self, group)

    monkeypatch.setattr(TestingWorker, "_run", spy)
    return ids


@pytest.fixture
def results(place: Path) -> Callable[[], dict[str, Any]]:
    """Reads the results of the run in ``out``."""
    return lambda: json.loads((place / "out/results.json").read_text(encoding="utf-8"))


@pytest.fixture
def contents() -> Callable[[Path], Mapping[str, bytes]]:
    """Every file below a folder with its bytes."""
    return lambda folder: {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
