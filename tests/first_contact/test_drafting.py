"""Drafts of studies: values that follow from the data and the base, and files that say why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.config import load_yaml
from bakeoff.data.columns import Table
from bakeoff.errors import ConfigError
from bakeoff.first_contact.drafting import Draft, draft_study
from bakeoff.first_contact.looking import Data
from bakeoff.first_contact.measuring import base_facts
from bakeoff.first_contact.values import method_values
from bakeoff.first_contact.writing import shown, study_text
from bakeoff.study.loading import study_from_mapping
from bakeoff.tasks.classify import Classify
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.guess.guessing import Guesses
from bakeoff.tasks.preparation.prepare import prepare
from bakeoff.tasks.registry import read_task

BASE = "scratch:tiny-gpt-neo"  # a token a byte, 256 positions
WORDS = ("good", "bad")


@pytest.fixture(autouse=True)
def _no_gpu(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def write(place: Path, count: int, label: Any = lambda i: WORDS[i % 2]) -> Path:
    """Rows of 40 bytes, 100 of which are a few bytes longer."""
    rows = [
        {"id": i, "words": f"Number {i:05d} was found to be {WORDS[i % 2]:>5} ok", "side": label(i)}
        for i in range(count)
    ]
    file = place / "reviews.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_lengths_follow_from_the_rows_in_tokens(place: Path) -> None:
    draft = draft_study(write(place, 60), base=BASE)
    task = draft.mapping["task"]
    # 37 bytes of text, "\n\nLabel:" of 8, and a label of 5 with the space before it.
    assert task["max_length"] == 64
    assert task["max_target_tokens"] == 16
    assert "half of the rows have at most 50" in draft.comments["task.max_length"]
    assert "256 positions" in draft.comments["task.max_length"]


def test_a_long_text_is_cut_to_the_base_s_positions(place: Path) -> None:
    rows = [{"text": f"{i} " + "word " * 100} for i in range(40)]
    file = place / "long.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["kind"] == "text"
    assert draft.mapping["task"]["max_length"] == 256 - 64
    assert "max_target_tokens" not in draft.mapping["task"]
    assert "generation" not in draft.mapping
    assert "0 % are cut" in draft.comments["task.max_length"], "it becomes several rows"
    assert any("longer than task.max_length (192)" in note for note in draft.notes)


def test_documents_that_are_cut_are_counted_whole(place: Path) -> None:
    rows = [{"article": f"{i} " + "word " * 100, "summary": f"{i} is here now"} for i in range(40)]
    file = place / "long.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE, kind="summarize")
    assert draft.mapping["task"]["max_length"] == 256 - 64
    why = draft.comments["task.max_length"]
    assert "half of the rows have at most 5" in why and "100 % are cut" in why


def test_documents_that_are_not_read_to_their_end_are_said_to_be_longer(place: Path) -> None:
    rows = [{"article": f"{i} " + "word " * 2000, "summary": f"{i} is here now"} for i in range(40)]
    file = place / "long.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE, kind="summarize")
    why = draft.comments["task.max_length"]
    assert "(figures from 43" in why and "on are lower bounds); 100 % are cut, or left out" in why
    assert not any("task.max_length" in note for note in draft.notes)


def test_notes_on_lengths_are_of_the_study_s_length(place: Path) -> None:
    """One text of 400 is longer than the base allows; the study's rows are far shorter."""
    rows = [{"text": f"The text {i}."} for i in range(399)] + [{"text": "and " * 60}]
    file = place / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["kind"] == "text" and draft.mapping["task"]["max_length"] < 192
    assert not any("(192)" in note or "pieces" in note for note in draft.notes)
    assert "% are taken in pieces" in draft.comments["task.max_length"]


def test_rows_that_fit_no_base_are_noted_with_the_study_s_length(place: Path) -> None:
    rows = [
        {"prompt": f"Say {i}.", "completion": "word " * (80 if i == 7 else 1)} for i in range(120)
    ]
    file = place / "said.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE, kind="complete")
    most = draft.mapping["task"]["max_length"]
    assert most < 256
    assert any(f"does not fit task.max_length ({most})" in note for note in draft.notes)


def test_room_for_an_answer_counts_as_rows_are_cut_by_it(place: Path) -> None:
    """A short answer keeps as much of a row free as the longest one."""
    rows = [
        {"prompt": "say " + "so " * 20 + f"{i:03d}", "completion": "ab " * (1 if i % 2 else 14)}
        for i in range(40)
    ]
    file = place / "said.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = draft_study(file, base=BASE, kind="complete").mapping["task"]
    # 67 bytes, two line ends, and room for an answer: nothing is cut.
    assert task["max_length"] >= 69 + task["max_target_tokens"]


def test_a_long_talk_with_a_short_answer_is_no_bad_row(place: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {i:02d} once more. " * 6},
                {"role": "assistant", "content": str(i)},
            ]
        }
        for i in range(40)
    ]
    file = place / "talks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["max_target_tokens"] <= 16
    assert draft.comments["task.on_bad_row"].endswith("there was none so far")


def test_talks_of_several_answers_lose_no_row_where_none_is_said_to_be_cut(place: Path) -> None:
    """What an earlier answer has of tokens is no room for the last one."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Ask {i:02d}{'' if i % 3 else ' and so on..'}"},
                {"role": "assistant", "content": "I shall look there"},
                {"role": "tool", "content": "12"},
                {"role": "assistant", "content": "ab " * (5 if i % 3 else 1)},
            ]
        }
        for i in range(40)
    ]
    file = place / "talks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = read_task(draft_study(file, base=BASE).mapping["task"])
    data = prepare(
        task, base_facts(BASE).tokenizer, root=place, cache_dir=None, tokenizer_id="tiny"
    )
    assert [(part.rows_cut, part.rows_skipped) for part in data.splits.values()] == [(0, 0)] * 3


def test_talks_that_are_written_as_a_row_for_each_answer_are_noticed(place: Path) -> None:
    lines = []
    for number in range(40):
        said: list[dict[str, str]] = []
        for turn in range(3):
            said.append({"role": "user", "content": f"And {number} and {turn}?"})
            said.append({"role": "assistant", "content": f"{number + turn}."})
            lines.append(json.dumps({"messages": said}))
    file = place / "talks.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    draft = draft_study(file, base=BASE)
    [note] = [note for note in draft.notes if "a row for each answer" in note]
    assert "Keep the longest row of each talk" in note


def test_few_rows_get_more_epochs_smaller_updates_and_larger_test_sets(place: Path) -> None:
    draft = draft_study(write(place, 100), base=BASE)
    assert draft.mapping["task"]["split_by_hash"] == {"validation": 0.2, "test": 0.2}
    protocol = draft.mapping["protocol"]
    assert protocol["epochs"] == 5
    assert protocol["micro_batch_size"] * protocol["grad_accum_steps"] == 4
    why = draft.comments["protocol.micro_batch_size"]
    assert "about 75 updates of 60 rows, fewer than 300" in why
    assert draft.comments["protocol.epochs"].endswith("; more of them here, where rows are few")


def test_many_rows_are_limited_without_a_gpu_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(place, 3000)
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["examples"] == {"train": 1000, "validation": 200}
    assert "more of them" not in draft.comments["protocol.epochs"]
    assert any("first 1,000 of 2,400 train" in note for note in draft.notes)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "examples" not in draft_study(file, base=BASE).mapping["task"]


def test_rows_that_are_sorted_by_label_are_not_limited(place: Path) -> None:
    draft = draft_study(write(place, 3000, lambda i: WORDS[i // 1500]), base=BASE)
    assert "examples" not in draft.mapping["task"]
    assert any("sorted by what is learnt" in note for note in draft.notes)


def test_a_label_in_a_field_that_the_first_rows_lack_counts_as_sorted(place: Path) -> None:
    fields: list[dict[str, Any]] = [{"id": i} for i in range(1300)]
    fields += [{"id": i, "label": WORDS[i % 2]} for i in range(1300, 3000)]
    lines = [
        json.dumps({"text": f"Number {i} was found here", "meta": meta})
        for i, meta in enumerate(fields)
    ]
    file = place / "late.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["label"] == "meta.label"
    assert "examples" not in draft.mapping["task"]
    assert any("sorted by what is learnt" in note for note in draft.notes)


@pytest.mark.parametrize(("rows", "is_limited"), [(2000, False), (300, True)])
def test_a_test_set_that_is_sorted_by_label_is_not_limited(
    rows: int, is_limited: bool, place: Path
) -> None:
    """Shuffled training rows say nothing of the test set's order."""
    orders: dict[str, list[int]] = {
        "train": [i % 2 for i in range(1500)],
        "validation": [i % 2 for i in range(300)],
        "test": [i * 2 // rows for i in range(rows)],
    }
    for split, order in orders.items():
        lines = [
            json.dumps({"text": f"{split} text {i} is about this", "label": WORDS[label]})
            for i, label in enumerate(order)
        ]
        (place / "folder").mkdir(exist_ok=True)
        (place / "folder" / f"{split}.jsonl").write_text("\n".join(lines))
    draft = draft_study(str(place / "folder"), base=BASE)
    assert ("examples" in draft.mapping["task"]) == is_limited


def test_a_template_keeps_prompt_and_answer_apart_where_no_chat_template_does(place: Path) -> None:
    rows = [
        {"question": f"What is {i} and one more?", "answer": f"It is {i + 1}."} for i in range(40)
    ]
    file = place / "qa.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["template"] == "Question: {prompt}\nAnswer: {completion}"
    generation = draft.mapping["generation"]
    assert generation["max_new_tokens"] == draft.mapping["task"]["max_target_tokens"]


def test_rows_that_cannot_be_used_are_counted(place: Path) -> None:
    file = write(place, 120)
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"words": null, "side": "good"}\nno json\n')
    draft = draft_study(file, base=BASE)
    assert draft.mapping["task"]["on_bad_row"] == "skip"
    assert "left out and counted: 2 " in draft.comments["task.on_bad_row"]


@pytest.mark.parametrize("empty", [False, True], ids=["no column", "no values"])
def test_a_test_file_without_answers_is_left_out_and_that_is_said(place: Path, empty: bool) -> None:
    folder = place / "reviews"
    folder.mkdir()
    rows = [f"Number {i:05d} was found to be {WORDS[i % 2]}" for i in range(60)]
    train = [f"{i},{row},{WORDS[i % 2]}" for i, row in enumerate(rows)]
    test = [f"{i},{row} once more{',' * empty}" for i, row in enumerate(rows)]
    header = "id,words,side" if empty else "id,words"
    (folder / "train.csv").write_text("\n".join(["id,words,side", *train]) + "\n")
    (folder / "test.csv").write_text("\n".join([header, *test]) + "\n")
    (folder / "sample_submission.csv").write_text("id,side\n0,good\n")
    draft = draft_study(folder, base=BASE)
    assert draft.mapping["task"]["source"] == str(folder / "train.csv")
    assert draft.mapping["task"]["label"] == "side"
    assert draft.data.num_rows == 60
    [note] = [note for note in draft.notes if "not read" in note]
    assert "has a file for test without any 'side', so train.csv alone is used" in note
    assert "test.csv, sample_submission.csv are not read" in note


def test_a_file_beside_the_splits_is_not_taken_for_the_data(place: Path) -> None:
    folder = place / "reviews"
    rows = [
        {"words": f"Number {i:05d} was {WORDS[i % 2]}", "side": WORDS[i % 2]} for i in range(60)
    ]
    for split, kept in (("train", ("words", "side")), ("test", ("words",))):
        (folder / split).mkdir(parents=True)
        lines = [json.dumps({key: row[key] for key in kept}) for row in rows]
        (folder / split / "a.jsonl").write_text("\n".join(lines))
    (folder / "dataset_infos.json").write_text('{"default": {"description": ""}}')
    draft = draft_study(folder, base=BASE)
    assert draft.mapping["task"]["source"] == str(folder / "train" / "a.jsonl")
    [note] = [note for note in draft.notes if "not read" in note]
    assert "train/a.jsonl alone is used" in note and "test/a.jsonl" in note


def test_a_test_file_that_lacks_what_is_not_learnt_is_kept(place: Path) -> None:
    folder = place / "reviews"
    folder.mkdir()
    for split in ("train", "test"):
        rows = [
            {"words": f"Number {i:05d} of {split} was {WORDS[i % 2]}", "side": WORDS[i % 2]}
            | ({"colour": i % 3} if split == "train" else {})
            for i in range(60)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    draft = draft_study(folder, base=BASE)
    assert draft.mapping["task"]["label"] == "side"
    assert draft.mapping["task"]["source"] == str(folder)


def test_methods_are_those_asked_for_with_rates_for_the_base_s_size() -> None:
    small, _ = method_values("lora", 135_000_000, Classify.starting)
    large, why = method_values("lora", 70_000_000_000, Classify.starting)
    assert (small["learning_rate"], large["learning_rate"]) == (1e-3, 2e-4)
    assert (small["rank"], small["alpha"], small["target_modules"]) == (16, 32, "all-linear")
    assert "Tinker" in why
    other, why = method_values("bitfit", 135_000_000, Classify.starting)
    assert other == {"kind": "bitfit", "learning_rate": 1e-3}
    assert "Ben Zaken" in why


@pytest.mark.parametrize(
    ("methods", "rule"),
    [(["lora", "lora"], "names a method twice"), (["lorra"], "did you mean 'lora'")],
)
def test_methods_are_checked(place: Path, methods: list[str], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        draft_study(write(place, 60), base=BASE, methods=methods)


@pytest.fixture
def draft(place: Path) -> Draft:
    return draft_study(write(place, 60), base=BASE)


def test_the_file_holds_the_study_and_says_why(draft: Draft) -> None:
    text = study_text(draft, command="bakeoff run study.yaml")
    assert load_yaml(text, where="study") == draft.mapping
    for part in (
        "# Written by `bakeoff init`. Run it: bakeoff run study.yaml",
        "# 'side' holds 2 different values in 60 rows\n  kind: classify",
        "# bad, good\n  label: side",
        "# The data: 'id': numbers, 60 different in 60 rows",
        "learning_rate: 1e-3}",
    ):
        assert part in text
    of_any_length = next(line for line in text.splitlines() if line.startswith("  source: "))
    assert max(len(line) for line in text.splitlines() if line != of_any_length) <= 100


def test_the_screen_says_the_same(draft: Draft) -> None:
    lines = shown(draft)
    assert lines[0].endswith("reviews.jsonl: 60 rows, split by a hash of each input")
    assert lines[1] == "task: classify, as 'side' holds 2 different values in 60 rows"
    assert "  label: side (bad, good)" in lines


names = st.text(min_size=1, max_size=12).filter(lambda name: name.strip())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=names, label=names, folder=names)
def test_any_names_of_columns_come_back_from_the_file(text: str, label: str, folder: str) -> None:
    mapping = {
        "name": "x",
        "task": {"kind": "classify", "source": folder, "text": text, "label": [text, label]},
        "methods": {"lora": {"kind": "lora", "learning_rate": 1e-3, "x": {"y": label}}},
    }
    table = Table.of([{text: "a", label: "b"}])
    draft = Draft(
        mapping=mapping,
        comments={"task.text": text, "task": label},
        guesses=Guesses(best=Guess(kind="classify", options={"text": text}, likelihood=1.0)),
        data=Data(
            source=folder,
            is_whole=True,
            table=table,
            first={"train": table},
            counts={"train": 1, "validation": 0, "test": 0},
            filled={"train": {"words"}, "validation": set(), "test": set()},
            num_bad=0,
            notes=(),
        ),
        notes=(label,),
    )
    assert load_yaml(study_text(draft, command=f"run {folder}"), where="study") == mapping


def test_the_study_passes_its_checks(draft: Draft) -> None:
    study = study_from_mapping(draft.mapping, folder=Path.cwd())
    assert [entry.name for entry in study.entries] == ["lora", "soft_prompt"]
