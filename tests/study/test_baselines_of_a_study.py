"""``baselines``: what takes part without training, and the untuned base with solved examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.examples import Example
from bakeoff.data.shots import BETWEEN, after_shots
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import ConfigError
from bakeoff.execution.baselines import BaselineWorker
from bakeoff.runs.checksums import with_checksum
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench
from tests.studies import small_study, without_times

pytestmark = pytest.mark.usefixtures("quick")
Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
STUDY: dict[str, Any] = {
    "base": "tiny",
    "protocol": {"epochs": 1, "seeds": [0, 1, 2]},
    "task": {"max_length": 64, "max_target_tokens": 16},
}


def names(*given: Any, **task: Any) -> list[str]:
    study = study_from_mapping(small_study(baselines=list(given), task=task), folder=Path())
    return [baseline.name for baseline in study.baselines]


def message_of(*given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        names(*given)
    return str(caught.value)


def example(document: str, summary: str) -> Example:
    prompt = f"<s> {document} TL;DR:"
    text = f"{prompt} {summary} \n"
    return Example(
        text=text,
        target_spans=((len(prompt), len(text)),),
        literal_spans=((4, 4 + len(document)), (len(prompt) + 1, len(text))),
        prompt=prompt,
        cut_span=(4, 4 + len(document)),
        references=(summary,),
    )


def test_solved_examples_stand_before_text_and_prompt_and_all_spans_move() -> None:
    shots = [example("ab", "c"), example("defg", "hi")]
    own = example("jk", "l")
    found = after_shots(own, shots)
    before = "<s> ab TL;DR: c\n\n<s> defg TL;DR: hi\n\n"
    assert found.text == before + own.text and found.prompt == before + own.prompt
    data = [found.text[start:end] for start, end in found.literal_spans]
    assert data == ["ab", "c\n\n", "defg", "hi\n\n", "jk", "l \n"]
    asked = [found.prompt[start:end] for start, end in found.literals_of_prompt]
    assert asked == ["ab", "c\n\n", "defg", "hi\n\n", "jk"]
    [(start, end)] = found.target_spans
    assert found.text[start:end] == " l \n"
    assert found.cut_span is not None
    assert found.text[slice(*found.cut_span)] == "jk" == found.prompt[slice(*found.cut_span)]
    assert after_shots(own, []) is own


def test_a_study_names_its_baselines() -> None:
    assert names("zero_shot") == ["zero_shot"]
    assert names({"few_shot": {"shots": [4, 1]}}, "lead") == ["few_shot", "lead"]
    assert names() == []
    study = study_from_mapping(small_study(baselines=[{"few_shot": 4}]), folder=Path())
    assert study.baselines[0].shots == (4,)
    assert "did you mean lead?" in message_of("leed")
    assert "is not a baseline of summarize" in message_of("majority")
    assert "named twice" in message_of("lead", "lead")
    assert "it has no options" in message_of({"lead": {"sentences": 2}})
    for wrong in (0, [], "2", [1.5], [True], {"shots": [0]}):
        assert "is not a number of rows of 1 or more" in message_of({"few_shot": wrong})
    assert "its one option is shots" in message_of({"few_shot": {"k": 1}})


@pytest.mark.usefixtures("quick")
def test_the_base_with_solved_examples_is_compared_with_a_draw_for_each_seed(
    run_small: Run, results: Results, place: Path
) -> None:
    assert run_small(**STUDY).code == 0
    assert "few_shot" not in results()["baselines"]
    trained = results()["candidates"]
    wanted = ["lead", "zero_shot", {"few_shot": {"shots": [1, 2, 50]}}]
    assert run_small(**STUDY, baselines=wanted).code == 0
    found = results()
    assert found["candidates"] == trained, "nothing is trained for a baseline"
    few = found["baselines"]["few_shot"]
    assert few["shots"] in (0, 1, 2)
    [note] = [note for note in found["notes"] if note.startswith("few-shot: ")]
    assert "on validation; 50 do not fit" in note
    draws = 3 if few["shots"] else 1
    assert len(few["test"]["nll"]["per_seed"]) == draws
    assert len(set(few["test"]["nll"]["per_seed"])) == draws
    pairs = {(c["a"], c["b"]) for c in found["comparisons"]} | {
        (c["b"], c["a"]) for c in found["comparisons"]
    }
    assert ("lora", "few_shot") in pairs
    # What an answer costs is counted of the prompts as they were asked, whatever number was best.
    zero, own = found["baselines"]["zero_shot"]["cost"], few["cost"]
    assert found["baselines"]["lead"]["cost"] is None and zero["search_seconds"] is None
    assert own["search_seconds"] > 0.0 and own["generation_rows_per_second"] > 0.0
    assert own["tokens_read"] == pytest.approx(read_of(few["shots"], place))
    assert zero["tokens_read"] == pytest.approx(read_of(0, place))
    # Kept, and taken up by the next call.
    (place / "out/results.json").unlink()
    before = (place / "out/events.jsonl").read_bytes()
    assert run_small(**STUDY, baselines=wanted).code == 0
    assert without_times(results()) == without_times(found)
    assert results()["baselines"]["few_shot"]["cost"] == own
    assert (place / "out/events.jsonl").read_bytes() == before
    # Left out again, it stays in the folder.
    assert run_small(**STUDY, baselines=["zero_shot"]).code == 0
    assert list(results()["baselines"]) == ["zero_shot"]
    assert (place / "out/baselines/few_shot/record.json").exists()


@pytest.mark.parametrize(
    ("before", "now", "is_older"),
    [([0], [0, 1, 2], False), ([0, 1], [1, 2], False), ([0], [0, 1, 2], True)],
)
def test_other_seeds_draw_solved_examples_of_their_own(
    finished: Run,
    run_small: Run,
    results: Results,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: list[int],
    now: list[int],
    is_older: bool,
) -> None:
    """Also where the study was begun with one seed, and by a version that did not keep them."""
    monkeypatch.setattr(BaselineWorker, "_number_of_shots", lambda *_: (1, 0.0))
    # The name is this test's own: its runs would be taken for others' without what is patched.
    study = {**STUDY, "name": "one-shot", "baselines": ["zero_shot", {"few_shot": {"shots": [1]}}]}
    first, grown = ({**study, "protocol": {"epochs": 1, "seeds": s}} for s in (before, now))
    finished(**first)
    file = place / "out/baselines/few_shot/record.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert (kept["draws"], kept["seeds"]) == (len(before), before)
    if is_older:
        del kept["seeds"]
        file.write_text(json.dumps(with_checksum(kept)), encoding="utf-8")
    assert run_small(**grown).code == 0
    found = results()["baselines"]
    (place / "out").rename(place / "grown")
    finished(**grown)
    whole = results()["baselines"]
    assert len(whole["few_shot"]["test"]["nll"]["per_seed"]) == len(now)
    for part in ("test", "validation"):
        assert found["few_shot"][part] == whole["few_shot"][part]
        assert found["zero_shot"][part] == whole["zero_shot"][part]


@pytest.mark.parametrize("number", [1, 3])
def test_rows_with_solved_examples_are_the_texts_behind_each_other(
    place: Path, number: int
) -> None:
    study = study_from_mapping(small_study(**STUDY, baselines=["few_shot"]), folder=place)
    bench = open_workbench(study, "cpu")
    assert bench.shots is not None
    found, again, other = (bench.shots.of(number, seed) for seed in (0, 0, 1))
    assert found is not None and again is not None and other is not None
    tokenizer = bench.base.tokenizer

    def decode(ids: Any) -> str:
        return str(tokenizer.decode(ids))

    train = [decode(row) for row in rows_of(bench.data.splits["train"].tokens)]
    end = decode([tokenizer.eos_token_id])
    for split in ("validation", "test"):
        plain, part = bench.data.splits[split], found[split]
        for index in range(len(part)):
            *shots, own = decode(part.tokens[index]).split(BETWEEN + "The fair")
            assert len(shots) == number
            for shot in (shots[0], *(f"The fair{shot}" for shot in shots[1:])):
                assert shot + end in train
            # The row itself and what is learnt of it are as they were.
            assert f"The fair{own}" == decode(plain.tokens[index])
            assert np.array_equal(targets(part, index), targets(plain, index))
            assert decode(part.prompts[index]).endswith(decode(plain.prompts[index]))
            assert np.array_equal(part.tokens[index], again[split].tokens[index])
        assert part.references == plain.references
        assert not np.array_equal(part.tokens[0], other[split].tokens[0])


def read_of(shots: int, place: Path) -> float:
    """Tokens of an average test prompt with so many rows before it, over the study's draws."""
    study = study_from_mapping(small_study(**STUDY, baselines=["few_shot"]), folder=place)
    bench = open_workbench(study, "cpu")
    assert bench.shots is not None
    parts = [bench.data.splits["test"]]
    if shots:
        drawn = [bench.shots.of(shots, seed) for seed in (0, 1, 2)]
        parts = [one["test"] for one in drawn if one is not None]
    return float(np.mean([[len(part.prompts[i]) for i in range(len(part))] for part in parts]))


def rows_of(tokens: Any) -> list[Any]:
    return [tokens[index] for index in range(len(tokens))]


def targets(part: SplitData, index: int) -> Any:
    start, stop = part.tokens.offsets[index : index + 2]
    return part.tokens[index][part.is_target[start:stop]]


def test_a_baseline_whose_answers_no_metric_scores_is_left_out(
    run_small: Run, results: Results
) -> None:
    one = {**STUDY, "protocol": {"epochs": 1, "seeds": 1}}
    outcome = run_small(**{**one, "task": {**STUDY["task"], "metrics": ["nll"]}})
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["status"] == "complete"
    assert list(found["baselines"]) == ["zero_shot"]
    [said] = [note for note in found["notes"] if "no metric of the study scores" in note]
    assert said.startswith("lead-3: ")
