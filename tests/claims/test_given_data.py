"""Claims on data of one's own: which rows, how many, how long, and whose groups."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bakeoff.api.claim_data import beside_rows, given_data
from bakeoff.api.running import RunSettings, execute
from bakeoff.api.study import Study
from bakeoff.claims.bases import facts_of
from bakeoff.claims.contract import SIZES
from bakeoff.claims.listing import NOMINAL, design_words
from bakeoff.claims.page import build_page
from bakeoff.claims.planning import plan_studies, why_untestable
from bakeoff.claims.reading import BLOCKS, Source, losses_of, measured_together
from bakeoff.claims.registry import claims_named
from bakeoff.claims.running import run_suite
from bakeoff.claims.simulation import planned_reach
from bakeoff.claims.writing import as_mapping
from bakeoff.data.sources import open_source
from bakeoff.data.sources.opening import open_test_source
from bakeoff.runs.arrays import arrays_bytes
from bakeoff.runs.groups import GROUPS_FILE, groups_of, keep_groups
from bakeoff.runs.reading import read_results
from bakeoff.runs.storage import Storage
from bakeoff.tasks.contract import columns_of
from bakeoff.types import SPLITS
from tests.claims.planted import Study as PlantedStudy
from tests.claims.planted import suite_of
from tests.claims.test_reading import study as with_scores

FULL, QUICK = SIZES["full"], SIZES["quick"]
SOFT, FEW, PREFIX = "soft_beats_discrete", "few_tokens_suffice", "prefix_is_not_monotone"
ROOM = "prompts_cost_length"


def summaries(count: int) -> list[dict[str, str]]:
    """Documents with summaries, each as long as the others."""
    words = ["council", "harbour", "bridge", "school", "market", "winter", "forest", "engine"]
    return [
        {
            "document": " ".join(
                f"The {words[(i + j) % 8]} of number {i} was seen." for j in range(9)
            ),
            "summary": f"The {words[i % 8]} of number {i}.",
        }
        for i in range(count)
    ]


@pytest.fixture
def rows(place: Path) -> Path:
    file = place / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in summaries(300)), encoding="utf-8")
    return file


@pytest.mark.parametrize("is_drawn", [True, False])
def test_written_prompts_are_asked_on_the_test_rows_of_the_study(
    rows: Path, place: Path, is_drawn: bool
) -> None:
    """One file is divided by a hash; as a further test set it would be taken whole."""
    # As in folders of versions that drew no rows, which go on.
    data = given_data(str(rows), "tiny", place / "out", is_drawn=is_drawn)
    assert data.takes_prompts
    study = plan_studies(claims_named([SOFT]), [NOMINAL], NOMINAL, QUICK, data)[0]
    loaded = Study.from_mapping(study.mapping).at(place / "run")
    columns = columns_of(loaded.task)
    own = open_source(loaded.task.options, columns, root=loaded.root)
    tested = [dict(one.values) for one in own.records("test")]
    assert 10 < len(tested) < 60
    for name in ("prompt_1", "prompt_8"):
        options = loaded.also[name].task.options
        asked = open_test_source(options, columns_of(loaded.also[name].task), root=loaded.root)
        assert [dict(one.values) for one in asked.records("test")] == tested


def test_a_folder_of_splits_is_asked_as_it_is(place: Path) -> None:
    for split, count in (("train", 60), ("validation", 20), ("test", 30)):
        text = "".join(json.dumps(row) + "\n" for row in summaries(count))
        (place / "mine" / f"{split}.jsonl").parent.mkdir(exist_ok=True)
        (place / "mine" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    data = given_data(str(place / "mine"), "tiny", place / "out")
    assert data.prompts_source is None and data.train_rows == 60
    kept = {split: Path(file) for split, file in dict(data.task["source"]).items()}
    counts = {split: len(file.read_text().splitlines()) for split, file in kept.items()}
    assert counts == {"train": 60, "validation": 20, "test": 30}


def test_data_are_named_as_bakeoff_init_names_them(
    rows: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = given_data(f"[{rows.name}]", "tiny", place / "out")
    assert listed.train_rows == given_data(str(rows), "tiny", place / "out").train_rows
    stream = SimpleNamespace(buffer=io.BytesIO(rows.read_bytes()), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", stream)
    piped = given_data("-", "tiny", place / "out")
    [kept] = (place / "out" / "data").glob("rows-*/rows.jsonl")
    assert kept.read_bytes() == rows.read_bytes()
    assert piped.task["source"] == listed.task["source"]


def test_rows_of_a_sorted_file_are_drawn_from_all_of_it(place: Path) -> None:
    """The first ones have one label, with which there is nothing to learn."""
    lines = [f"word {i} of a text,{'neg' if i < 400 else 'pos'}\n" for i in range(800)]
    (place / "mine.csv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    data = given_data("mine.csv", "tiny", place / "out")
    [study] = plan_studies(claims_named(["init_matters"]), [NOMINAL], NOMINAL, QUICK, data)
    loaded = Study.from_mapping(study.mapping).at(place / "run")
    source = open_source(loaded.task.options, columns_of(loaded.task), root=loaded.root)
    for split in SPLITS:
        labels = [str(one.values["label"]) for one in source.records(split)]
        assert 0.3 < labels[:128].count("neg") / len(labels[:128]) < 0.7, split
        assert labels != sorted(labels)
    train = [str(one.values["text"]) for one in source.records("train")]
    assert len(train) == data.train_rows and len(set(train)) == len(train)
    assert "drawn at random, with the seed 7" in data.notes[0]
    # The same call draws the same rows, and a claim on a few takes the first of them.
    again = given_data("mine.csv", "tiny", place / "out")
    assert again == data and len(list((place / "out" / "data").iterdir())) == 1
    # Folders of versions that drew none go on with the rows that they have.
    earlier = given_data("mine.csv", "tiny", place / "earlier", is_drawn=False)
    assert earlier.task["source"] == "mine.csv" and earlier.notes == ()


def test_what_drawn_rows_no_longer_show_is_noted(place: Path) -> None:
    """How the splits were made, what could not be read, and whose names the files have."""
    texts = [json.dumps(row) for row in summaries(60)]
    (place / "imdb").mkdir()
    (place / "imdb" / "train.jsonl").write_text("\n".join([*texts[:3], "{torn", *texts[3:]]))
    (place / "imdb" / "test.jsonl").write_text("\n".join(texts[:20]))
    notes = " ".join(given_data("imdb", "tiny", place / "out").notes)
    assert "There is no validation set" in notes
    assert "1 row of the data is left out" in notes
    assert "named as IMDB, a well-known benchmark" in notes


def test_updates_follow_the_rows_that_there_are(rows: Path, place: Path) -> None:
    data = given_data(str(rows), "tiny", place / "out")
    assert data.train_rows is not None and 200 < data.train_rows < 300
    studies = plan_studies(claims_named([SOFT]), [NOMINAL], NOMINAL, FULL, data)
    updates = {
        study.mapping["task"]["examples"]["train"]: study.mapping["task"]["examples"]["train"]
        * study.mapping["protocol"]["epochs"]
        for study in studies
    }
    # Those that ask for 256 rows are the main study, and fewer have as many updates.
    assert len(studies) == 3 and set(updates) == {16, 64, data.train_rows}
    assert {at[1] for at in studies[0].methods} == {"prompts", "rows_256"}
    assert all(seen == pytest.approx(data.train_rows, rel=0.2) for seen in updates.values())
    words = design_words(claims_named([FEW])[FEW], FULL, NOMINAL, data)
    assert f"on {data.train_rows} rows" in words
    # And a reader is shown what so few test rows find.
    assert data.test_rows is not None and data.test_rows < FULL.test_rows
    assert f"seeds of each on {data.test_rows} rows" in words
    claim, filled = claims_named([FEW])[FEW], data.filled(FULL)
    assert (filled.test_rows, filled.seeds) == (data.test_rows, FULL.seeds)
    assert planned_reach(claim, filled).effect > 2 * planned_reach(claim, FULL).effect


def test_prompts_are_as_long_as_the_rows_leave_room(rows: Path, place: Path) -> None:
    data = given_data(str(rows), "tiny", place / "out")
    long = replace(data, task={**data.task, "max_length": 448})
    # As of a base that was trained on all positions that it takes.
    facts = beside_rows(replace(NOMINAL, learnt=None), long)
    assert facts.room == 64
    chosen = claims_named([FEW, PREFIX, SOFT])
    why = {name: why_untestable(c, [facts], facts, FULL, long) for name, c in chosen.items()}
    # No paper says of a prefix of 50 tokens that it is too long.
    assert "too few positions" in why[FEW] and why[PREFIX] == why[FEW] and not why[SOFT]
    shorter = replace(data, task={**data.task, "max_length": 400})
    facts = beside_rows(replace(NOMINAL, learnt=None), shorter)
    [study] = plan_studies({PREFIX: chosen[PREFIX]}, [facts], facts, FULL, shorter)
    assert list(study.mapping["methods"])[-2:] == ["prefix_50", "prefix_100"]
    assert study.mapping["task"]["max_length"] == 400
    longer = replace(data, task={**data.task, "max_length": 500})
    facts = beside_rows(NOMINAL, longer)
    said = why_untestable(chosen[SOFT], [facts], facts, FULL, longer)
    assert said == "A prompt of 20 tokens beside rows of 500 takes 520 positions, and tiny has 512."
    room = claims_named([ROOM])[ROOM]
    answers = replace(data, task={**data.task, "max_target_tokens": 120})
    assert "no room before answers of up to 120" in why_untestable(
        room, [NOMINAL], NOMINAL, FULL, answers
    )


@pytest.mark.parametrize(
    ("rows_of", "learnt", "longest", "cut"),
    [(256, 256, 100, 156), (256, None, 256, None), (120, 256, 100, None), (256, 512, 256, None)],
)
def test_rows_stay_within_the_positions_that_a_base_has_learnt(
    rows_of: int, learnt: int | None, longest: int, cut: int | None
) -> None:
    """Beyond them a long prompt would cost what the base's last positions cost."""
    facts = replace(NOMINAL, learnt=learnt, room=512 - rows_of)
    for name in (FEW, PREFIX):
        [part] = claims_named([name])[name].design(facts, FULL)
        length = max(int(entrant.rpartition("_")[2]) for entrant in part.entrants)
        assert length == (100 if name == FEW else longest)
        assert part.max_length == cut
    assert "rows of at most 156 tokens" in design_words(claims_named([FEW])[FEW], FULL, NOMINAL)


def test_the_family_was_trained_on_half_of_its_positions() -> None:
    for name in ("tiny", "wire-0.3m"):
        facts = facts_of(name)
        assert (facts.positions, facts.learnt) == (512, 256)


@pytest.mark.parametrize("longest", [40, 96, 97, 200, None])
def test_a_room_that_cuts_nothing_cannot_be_tested(
    longest: int | None, data: Any, tmp_path: Path
) -> None:
    """Both parts are then of the same rows, and their losses are equal."""
    is_cut = longest is None or longest > 96
    losses = {"soft_64": 2.0}
    study = PlantedStudy(losses=losses, longest_row=longest)
    suite = suite_of((ROOM,), tmp_path, data, study)
    found = run_suite(suite)
    finding = found.findings[ROOM]
    assert finding.verdict == ("contradicted" if is_cut else "untestable")
    assert ("rows of more than 96 tokens" in finding.why) is not is_cut
    kept = as_mapping(suite, found)["claims"][ROOM]
    # What was measured is shown all the same, and decides nothing.
    assert len(kept["conditions"]["whole:soft_64"]) == 5
    assert (kept["effect"] is None) is not is_cut
    assert finding.why[:20] in build_page(suite, found)


def test_rows_of_one_group_are_left_out_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sums = np.stack([rng.uniform(10, 20, 60), rng.integers(3, 9, 60)], axis=1)
    file = tmp_path / "test.npz"
    file.write_bytes(arrays_bytes({"nll": sums}))
    groups = np.repeat(np.arange(30), 2)
    _, without = losses_of(file, groups)
    kept = sums[groups % BLOCKS != 4].sum(axis=0)
    assert without[4] == pytest.approx(kept[0] / kept[1])
    # Of another number of rows they say nothing.
    assert losses_of(file, groups[:-1])[1] == pytest.approx(losses_of(file)[1])

    place = with_scores(tmp_path / "study")
    alone = measured_together([Source(place=place, methods={"full": "full"})])
    storage = Storage(place)
    keep_groups(storage, {"test": None})
    assert not (place / GROUPS_FILE).exists() and groups_of(place) == {}
    keep_groups(storage, {"test": [str(i // 2) for i in range(40)], "also-other": None})
    assert groups_of(place)["test"].tolist() == [i // 2 for i in range(40)]
    together = measured_together([Source(place=place, methods={"full": "full"})])
    assert together.values["full"] == pytest.approx(alone.values["full"])
    assert together.without[0]["full"] != pytest.approx(alone.without[0]["full"])
    assert len(together.without) == 20
    # Few groups are as few blocks; one alone says nothing of others.
    keep_groups(storage, {"test": [str(i % 3) for i in range(40)]})
    few = measured_together([Source(place=place, methods={"full": "full"})])
    assert len(few.without) == 3 and np.isfinite(few.without[2]["full"]).all()
    keep_groups(storage, {"test": ["one"] * 40})
    single = measured_together([Source(place=place, methods={"full": "full"})])
    assert single.without[0]["full"] == pytest.approx(alone.without[0]["full"])
    assert [note for note in single.notes if "of one group or text" in note]


def test_a_run_keeps_the_groups_of_its_test_rows(
    place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    texts = [{"text": " ".join(f"word{i}{j} of a text" for j in range(60))} for i in range(60)]
    text = "".join(json.dumps(row) + "\n" for row in texts)
    (place / "texts.jsonl").write_text(text, encoding="utf-8")
    task = {"kind": "text", "source": "texts.jsonl", "text": "text", "max_length": 64}
    study = {**small(methods={"lora": {"kind": "lora", "rank": 1}}), "task": task}
    settings = RunSettings(device="cpu", costs=False)
    execute(Study.from_mapping(study), place / "out", Console(quiet=True), settings)
    groups = groups_of(place / "out")["test"]
    assert len(groups) == read_results(place / "out").data.test.examples
    assert len(set(groups.tolist())) < len(groups)
