"""Two bases with two prompts: run, taken up, asked for answers and exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.config import dump_yaml
from bakeoff.decide.money import tokens_of_a_call
from bakeoff.errors import BaseModelError, ConfigError, DataError
from bakeoff.execution.stopping import TrainingTimeSpent
from bakeoff.page.palette import looks
from bakeoff.report.figures.effort import effort_figures
from bakeoff.report.load import load_run
from bakeoff.report.scores import all_scores
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.places import candidate_folder
from bakeoff.runs.reading import read_results
from bakeoff.study.cells import SetRows, check_cells, open_cells
from bakeoff.study.crossed_runner import kept_for
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.runner import Runner
from bakeoff.study.study import Study
from tests.studies import Outcome, small_study

pytestmark = pytest.mark.usefixtures("quick")
BASES = ["scratch:tiny-gpt-neo", "tiny"]
TEMPLATES = {"short": "{text}\n{short}", "long": "Read this and repeat it.\n{text}\n{short}"}
LABELS = [f"{base}@{layout}" for base in ("scratch-tiny-gpt-neo", "tiny") for layout in TEMPLATES]
TASK = {"kind": "complete", "source": "rows", "prompt": "text", "completion": "short"}


def crossed(**changes: Any) -> dict[str, Any]:
    """A study of one method, two bases and two prompts."""
    study = small_study(
        protocol={"seeds": [0, 1]},
        bases=BASES,
        templates=TEMPLATES,
        generation={"max_new_tokens": 2},
    )
    study["task"] = {**TASK, "max_length": 160, "max_target_tokens": 32}
    del study["base"]
    return {**study, **changes}


@pytest.fixture
def run(place: Path, cli: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Runs the study with some changes in the folder ``out``."""

    def call(**changes: Any) -> Outcome:
        (place / "study.yaml").write_text(dump_yaml(crossed(**changes)), encoding="utf-8")
        return cli("run", "study.yaml", "--out", "out", "--device", "cpu")

    return call


def test_no_time_is_kept_for_cells_that_are_complete() -> None:
    """A cell that was late goes on in the next call, whatever the first had planned for others."""
    after = (50.0, 30.0, 10.0)
    assert kept_for(after, [False, False]) == [50.0] and kept_for(after, [False]) == [30.0]
    assert kept_for(after, [True, True]) == kept_for(after, [True]) == kept_for(after, []) == [10.0]
    assert kept_for(after, [True, False]) == [30.0] and kept_for((), [False]) == []


def test_two_bases_with_two_prompts(
    run: Callable[..., Outcome], place: Path, cli: Callable[..., Outcome], trained: list[str]
) -> None:
    outcome = run()
    assert outcome.code == 0, outcome.err
    results = read_results(place / "out")
    variants = [f"lora@{label}" for label in LABELS]
    assert results.status == "complete" and list(results.methods) == variants
    assert list(results.baselines) == [f"zero_shot@{label}" for label in LABELS]
    tiny = results.methods["lora@tiny@long"]
    assert (tiny.base, tiny.template, tiny.plain_name) == ("tiny", "long", "lora")
    assert len(trained) == 4 * 2

    # Nothing is compared per token, whose tokens differ; all pairs are compared by bytes.
    assert results.primary.name == "bits_per_byte"
    assert {c.metric for c in results.comparisons} == {
        *("bits_per_byte", "exact_match", "f1", "rougeL"),
    }
    assert all("nll" not in m.test and "nll" not in m.validation for m in results.methods.values())
    pairs = [c for c in results.comparisons if c.metric == "bits_per_byte"]
    assert len(pairs) == 8 * 7 // 2 and {c.examples for c in pairs} == {4}
    # In the metric's own unit, not in the nats that it is made of.
    tested = {name: one.test for name, one in results.methods.items()}
    tested |= {name: one.test for name, one in results.baselines.items()}
    for pair in pairs:
        of_a, of_b = (tested[name]["bits_per_byte"].mean for name in (pair.a, pair.b))
        assert pair.difference == pytest.approx(of_a - of_b)
    assert any("nothing is compared in nats per token" in note for note in results.notes)

    # The figures are those of the cells' own rows.
    candidate = tiny.candidates[1]
    folder = candidate_folder(place / "out", results, candidate)
    arrays = read_arrays(folder / "scores" / "test.npz")
    assert arrays is not None
    nats, size = arrays["bits_per_byte"].sum(axis=0)
    assert tiny.test["bits_per_byte"].per_seed[1] == pytest.approx(nats / size / 0.6931471805599453)
    cell = read_results(place / "out" / "cells" / "tiny@long")
    assert cell.primary.name == "nll" and list(cell.methods) == ["lora@tiny@long"]
    validation = cell.methods["lora@tiny@long"].validation["nll"].mean
    rows = [json.loads(line) for line in (place / "rows/validation.jsonl").open()]
    tokens = cell.data.validation.tokens_supervised
    size = sum(len(f"\n{row['short']}") for row in rows)
    bits = validation * tokens / size / 0.6931471805599453
    assert tiny.validation["bits_per_byte"].mean == pytest.approx(bits)

    factors = results.factors
    assert factors is not None and not factors.one_tokenizer
    assert factors.levels == {
        "method": ("lora",),
        "base": ("scratch-tiny-gpt-neo", "tiny"),
        "template": ("short", "long"),
    }
    assert {label: one.status for label, one in factors.cells.items()} == dict.fromkeys(
        LABELS, "complete"
    )
    # Four test rows are too few for that, and it is said.
    assert factors.components == () and factors.why == (
        "4 test rows are too few; from 10 on they say something"
    )
    # Each cell's own tokens are what an answer's price is counted by.
    own = factors.cells["tiny@long"]
    assert own.test_tokens_raw == cell.data.test.tokens_raw
    assert tokens_of_a_call(results, tiny) == tokens_of_a_call(cell)
    other = results.methods["lora@scratch-tiny-gpt-neo@short"]
    assert tokens_of_a_call(results, other) != tokens_of_a_call(cell)
    drawn = {one.name: one for one in effort_figures(results, looks(results.methods))}
    bits = tiny.validation["bits_per_byte"].mean
    if "best_so_far" in drawn:  # where costs were measured
        assert f"lora@tiny@long {bits:.3f}" in drawn["best_so_far"].alt
    shown = load_run(place / "out")
    assert set(shown.predictions) == {*variants, *results.baselines} and len(shown.examples) == 4

    # A second call trains nothing, and says so.
    again = run()
    assert again.code == 0 and "This study is complete" in again.out and len(trained) == 8

    # Answers and exports are those of the cell that the candidate is of.
    (place / "new.jsonl").write_text(json.dumps({"text": "The fair of Arden."}) + "\n")
    answered = cli("predict", "out", "new.jsonl", "--candidate", candidate, "--json")
    assert answered.code == 0, answered.err
    assert json.loads(answered.out)["candidate"] == candidate
    both = cli("predict", "out", "new.jsonl", "--candidate", candidate, "--candidate",
               results.methods["lora@tiny@short"].candidates[0])  # fmt: skip
    assert both.code == 2 and "are of different bases or prompts" in both.message
    exported = cli("export", "out", "--candidate", candidate, "--to", "peft", "--out", "peft")
    assert exported.code == 0, exported.err
    settings = json.loads((place / "peft" / "bakeoff_task.json").read_text(encoding="utf-8"))
    assert settings["template"] == "Read this and repeat it.\n{prompt}\n{completion}"

    # Without a recommendation a recipe is of the best by bytes, even where a text decides.
    path = place / "out" / "results.json"
    whole = path.read_bytes()
    content = json.loads(whole)
    content["recommendation"]["method"] = None
    content["decision"]["metric"] = "rougeL"
    path.write_text(json.dumps(content), encoding="utf-8")
    recipe = cli("export", "out", "--recipe", "axolotl", "--out", "axolotl")
    assert recipe.code == 0, recipe.err
    assert "is the best on validation, by" in recipe.out
    path.write_bytes(whole)

    # A study grows by a prompt; what is there is not trained again, and seeds of it compare.
    grown = run(templates={**TEMPLATES, "bare": "{text} {short}"}, bases=BASES[1:])
    assert grown.code == 0, grown.err
    assert trained[8:] == [f"lora@tiny@bare-lr0.01-s{seed}" for seed in range(2)]
    found = read_results(place / "out")
    assert list(found.methods) == ["lora@tiny@short", "lora@tiny@long", "lora@tiny@bare"]
    assert found.factors is not None and found.factors.one_tokenizer
    assert any("the study in this folder changed" in note for note in found.notes)
    # With one tokenizer, the task's own metric decides.
    assert found.primary.name == "nll"
    refused = run(templates={**TEMPLATES, "long": "Other {text}\n{short}"}, bases=BASES[1:])
    assert refused.code == 2 and "lora@tiny@long.template" in refused.message


def opened(**changes: Any) -> Study:
    return study_from_mapping(crossed(**changes), folder=Path.cwd())


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"templates": {"a": "{text}\n{short}", "b": "{title} {text}\n{short}"}},
            DataError,
            "bases.scratch-tiny-gpt-neo, templates.b: {title} of templates.b is 'title'",
        ),
        ({"bases": ["tiny", "nowhere/at-all"]}, BaseModelError, "bases.at-all, templates.short: "),
        (
            {"task": {**TASK, "max_length": 160, "max_target_tokens": 200}},
            ConfigError,
            "task.max_target_tokens",
        ),
    ],
)
def test_what_cannot_be_used_is_named_before_training(
    place: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        study = opened(**changes)
        assert study.crossing is not None
        open_cells(study.crossing)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decision": {"metric": "nll"}}, "decision.metric: nll is per token"),
        ({"decision": {"margin": {"nll": 0.02}}}, "decision.margin.nll: nll is per token"),
        ({"decision": {"tolerance": 0.1}}, "decision.tolerance: 0.1 is in nats per token"),
        (
            {"also_test": {"more": {"source": "rows/test.jsonl", "max_drop": {"nll": 0.1}}}},
            "also_test.more.max_drop.nll: nll is per token",
        ),
    ],
)
def test_nothing_is_decided_per_token_across_tokenizers(
    place: Path, changes: dict[str, Any], message: str
) -> None:
    study = opened(templates={"short": TEMPLATES["short"]}, **changes)
    assert study.crossing is not None
    found = open_cells(study.crossing)
    with pytest.raises(ConfigError) as caught:
        check_cells(study, found)
    assert message in str(caught.value) and "bits_per_byte" in str(caught.value)
    # Bases of one tokenizer do compare so.
    alike = opened(
        bases=["scratch:tiny-gpt-neo", "scratch:tiny-llama"],
        templates={"short": TEMPLATES["short"]},
        **changes,
    )
    assert alike.crossing is not None
    check_cells(alike, open_cells(alike.crossing))


def test_what_cells_write_on_a_further_set_is_counted_by_their_names(
    run: Callable[..., Outcome], place: Path
) -> None:
    also = {"more": {"source": "rows/test.jsonl"}}
    outcome = run(bases=BASES[:1], also_test=also, protocol={"seeds": [0]})
    assert outcome.code == 0, outcome.err
    counted = load_run(place / "out").results.also_test["more"].outputs
    names = {f"{one}@{label}" for one in ("lora", "zero_shot") for label in LABELS[:2]}
    assert names <= set(counted) and all("@" in name for name in counted)
    assert {one.examples for one in counted.values()} == {4}
    # A further set that comes later is in one cell's results before it is in the next one's.
    both = {**also, "again": {"source": "rows/test.jsonl", "examples": {"test": 2}}}
    outcome = run(bases=BASES[:1], also_test=both, protocol={"seeds": [0]})
    assert outcome.code == 0, outcome.err
    results = load_run(place / "out").results
    assert results.status == "complete" and set(results.also_test["again"].outputs) == set(counted)


def test_labels_are_counted_on_the_shared_rows_alone() -> None:
    rows = SetRows(numbers=np.array([1, 2, 3, 4]), groups=None, labels=np.array([0, 1, 0, 1]))
    assert rows.gold(np.array([1, 2, 3])) == {0: 2, 1: 1}


def test_answers_are_shown_beside_their_own_rows(run: Callable[..., Outcome], place: Path) -> None:
    """A prompt that reads another column leaves out a row that the other prompt has."""
    for path in (place / "rows").glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [{**row, "more": "No more."} for row in rows]
        if path.stem == "test":
            rows[1]["more"] = {"no": "text"}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    study = crossed()
    task = {**study["task"], "on_bad_row": "skip"}
    templates = {**TEMPLATES, "long": "{text}\n{more}\n{short}"}
    outcome = run(task=task, bases=BASES[:1], templates=templates, protocol={"seeds": [0]})
    assert outcome.code == 0, outcome.err
    found = load_run(place / "out")
    label = LABELS[1]
    for name, answers in found.predictions.items():
        assert set(answers) == ({0, 2, 3} if name.endswith(label) else {0, 1, 2, 3})
    for where, name in (
        (f"candidates/lora@{label}-lr0.01-s0", f"lora@{label}"),
        ("baselines/zero_shot", f"zero_shot@{label}"),
    ):
        path = place / f"out/cells/{label}" / where / "predictions.jsonl"
        kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        shown = [found.predictions[name][index] for index in (0, 2, 3)]
        assert [row["nll"] / row["tokens"] for row in kept] == [one.scores["nll"] for one in shown]
    columns = all_scores(found, f"lora@{LABELS[0]}", "nll")
    assert columns is not None and all_scores(found, f"lora@{label}", "nll") is None


def test_a_run_that_was_cut_off_goes_on(
    run: Callable[..., Outcome], place: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Runner.run

    def stopping(self: Runner) -> Any:
        if self.folder.path.name == "tiny":
            raise KeyboardInterrupt
        return once(self)

    monkeypatch.setattr(Runner, "run", stopping)
    assert run(templates=None).code == 130
    results = read_results(place / "out")
    assert results.status == "partial" and list(results.methods) == ["lora@scratch-tiny-gpt-neo"]
    assert results.factors is not None
    assert results.factors.cells["tiny"].status == "waiting"
    monkeypatch.setattr(Runner, "run", once)
    assert run(templates=None).code == 0
    assert trained == [
        *(f"lora@scratch-tiny-gpt-neo-lr0.01-s{seed}" for seed in range(2)),
        *(f"lora@tiny-lr0.01-s{seed}" for seed in range(2)),
    ]
    assert read_results(place / "out").status == "complete"


def test_a_cell_whose_training_time_is_spent_does_not_keep_the_next_from_its_own(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of later cells was kept; the call ends as at any budget's end."""
    called: list[str] = []

    def late(self: Runner) -> None:
        called.append(self.folder.path.name)
        if len(called) == 1:
            raise TrainingTimeSpent

    monkeypatch.setattr(Runner, "run", late)
    outcome = run(templates=None)
    assert outcome.code == 0, outcome.err
    assert "The time budget ended the training early." in outcome.out
    assert called == ["scratch-tiny-gpt-neo", "tiny"]


def test_an_entrant_of_one_run_is_all_there_is_of_it(
    run: Callable[..., Outcome], place: Path
) -> None:
    """It is never asked for more seeds, which it cannot have."""
    one = {"bases": BASES[:1], "decision": {"metric": "rougeL"}}
    assert run(**one).code == 0
    results = read_results(place / "out")
    trained = next(iter(results.methods.values())).candidates[0]
    folder = candidate_folder(place / "out", results, trained)
    written = [json.loads(line) for line in (folder / "predictions.jsonl").open()]
    given = [{"id": row["id"], "prediction": "A fair."} for row in written]
    text = "".join(json.dumps(row) + "\n" for row in given)
    (place / "given.jsonl").write_text(text, encoding="utf-8")
    api = {"kind": "external", "predictions": "given.jsonl"}
    outcome = run(methods={**small_study()["methods"], "api": api}, **one)
    assert outcome.code == 0, outcome.err
    pairs = [c for c in read_results(place / "out").comparisons if "api" in (c.a, c.b)]
    assert pairs and all(c.fixed[(c.a, c.b).index("api")] for c in pairs)
