"""Test rows that are picked: asked to the token as the study itself asked them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import torch

from tests.serve.clients import get, post
from tests.serve.conftest import made, ran
from tests.studies import CITIES, small_study

if TYPE_CHECKING:
    from bakeoff.serve.running import Server

SIZES = {"train": 8, "validation": 4, "test": 4}
TASKS: dict[str, dict[str, Any]] = {
    # Its documents are longer than what is read of them.
    "summarize": {"kind": "summarize", "document": "text", "summary": "short", "max_length": 64},
    "complete": {
        "kind": "complete",
        "template": "{place} in {month}? {reply}",
        "target": "reply",
    },
    "classify": {"kind": "classify", "template": "{month}, {text}: {label}"},
    "choose": {"kind": "choose", "answer_is": "index"},
    "chat": {"kind": "chat"},
    "text": {"kind": "text"},
}


def row_of(name: str, i: int) -> dict[str, Any]:
    city, month, count = CITIES[i % len(CITIES)], ("May", "June", "July")[i % 3], 10 + 7 * i
    text = f"The fair of {city} drew {count} people in {month}, the mayor said on day {i}."
    if name == "summarize":
        return {"text": f"{text} " * 4, "short": f"{city} drew {count}."}
    if name == "complete":
        return {"place": f"{city} {i}", "month": month, "reply": f"{count} came"}
    if name == "classify":
        return {"text": text, "month": month, "label": ("good", "bad", "so so")[i % 3]}
    if name == "choose":
        choices = [f"{count}", f"{count + 1} or more", "none"]
        return {"question": f"How many in {city} {i}?", "choices": choices, "answer": i % 3}
    if name == "chat":
        turns = [f"Where is {city} {i}?", "North.", f"How many <|im_end|> in {month}?", f"{count}."]
        roles = ("user", "assistant") * 2
        talk = [{"role": r, "content": c} for r, c in zip(roles, turns, strict=True)]
        return {"messages": [{"role": "system", "content": "Be short."}, *talk]}
    return {"text": f"\u2028 {text}"}


def run_of(name: str, folder: Path) -> Path:
    """A finished run of one of the tasks."""
    torch.set_num_threads(1)
    (folder / "rows").mkdir()
    start = 0
    for split, size in SIZES.items():
        rows = [json.dumps(row_of(name, i)) + "\n" for i in range(start, start + size)]
        (folder / "rows" / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
        start += size
    study = small_study(name=name)
    study["task"] = {"source": "rows", "max_length": 256, **TASKS[name]}
    if name in ("classify", "choose", "text"):
        del study["generation"]
    else:
        study["task"]["max_target_tokens"] = 24
    return ran(folder, study)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each task."""
    return {name: run_of(name, tmp_path_factory.mktemp(name)) for name in TASKS}


@pytest.fixture(scope="module")
def server(runs: dict[str, Path]) -> Iterator[Server]:
    with made(list(runs.values()), {"max_positions": 320}) as server:
        yield server


def listed(server: Server, study: str, search: str = "") -> dict[str, Any]:
    params = {"study": study, "search": search}
    found: dict[str, Any] = get(server, "/rows", params=params).json()
    return found


def compared(server: Server, **body: Any) -> httpx.Response:
    return post(server, "/compare", body)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "text"])
def test_a_picked_row_is_answered_as_the_study_answered_it(
    runs: dict[str, Path], server: Server, name: str
) -> None:
    [candidate] = (runs[name] / "candidates").iterdir()
    lines = (candidate / "predictions.jsonl").read_text(encoding="utf-8").split("\n")
    stored = {row["index"]: row["prediction"] for row in map(json.loads, filter(None, lines))}
    rows = listed(server, name)
    assert rows["total"] == len(rows["data"]) == len(stored) == SIZES["test"]
    assert rows["note"] is None
    for row in rows["data"]:
        of_file = row_of(name, SIZES["train"] + SIZES["validation"] + row["index"])
        if name == "chat":
            assert row["row"]["messages"] == of_file["messages"][:-1]
            assert row["reference"] == of_file["messages"][-1]["content"]
        else:
            assert row["reference"] and row["row"]
            assert all(of_file[column] == value for column, value in row["row"].items())
            assert not {"short", "reply", "label", "answer"} & set(row["row"])
        place = {"study": name, "index": row["index"]}
        answer = compared(server, models=[f"{name}/lora"], test_row=place).json()["data"][0]
        assert answer["text"] == stored[row["index"]], (name, row)
    assert len({row["prompt"] for row in rows["data"]}) == SIZES["test"]


def test_choices_are_told_with_their_shares_streamed_or_not(server: Server) -> None:
    place = {"study": "choose", "index": 1}
    whole = compared(server, models=["choose/lora"], test_row=place).json()["data"][0]
    assert [one["label"] for one in whole["scores"]] == listed(server, "choose")["data"][1]["row"][
        "choices"
    ]
    assert sum(one["score"] for one in whole["scores"]) == pytest.approx(1)
    lines = compared(server, models=["choose/lora"], test_row=place, stream=True).text.split("\n\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert [event.get("text") for event in events[:-1]] == [whole["text"]]
    assert events[-1]["done"]["text"] == whole["text"]
    assert events[-1]["done"]["scores"] == whole["scores"]


def test_a_text_is_asked_on_from_its_beginning(server: Server) -> None:
    rows = listed(server, "text")
    assert rows["total"] == SIZES["test"]
    row = rows["data"][0]
    whole = row_of("text", SIZES["train"] + SIZES["validation"])["text"]
    assert row["row"] is None and row["prompt"] and row["reference"]
    assert whole.endswith(row["reference"]) and row["prompt"] in whole
    place = {"study": "text", "index": row["index"]}
    picked = compared(server, models=["text/lora"], test_row=place).json()["data"][0]
    typed = compared(server, models=["text/lora"], prompt=row["prompt"]).json()["data"][0]
    assert picked["prompt_tokens"] == typed["prompt_tokens"] > 1


def test_a_row_goes_through_models_of_other_studies_where_they_can_read_it(server: Server) -> None:
    place = {"study": "classify", "index": 0}
    both = ["classify/lora", "summarize/lora", "classify/zero_shot"]
    found = compared(server, models=both, test_row=place).json()["data"]
    assert [one["model"] for one in found] == both and all("error" not in one for one in found)
    refused = compared(server, models=["choose/lora"], test_row=place)
    assert refused.status_code == 400 and "lacks question" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"test_row": {"study": "chat", "index": 99}}, "no such test row"),
        ({"test_row": {"study": "../chat", "index": 0}}, "no such test row"),
        ({"test_row": {"study": "chat", "index": 0}, "prompt": "a"}, "give one of"),
        ({"test_row": {"study": "chat", "index": 0}, "raw": True}, "raw has no effect"),
    ],
)
def test_a_row_that_is_not_there_is_refused(
    server: Server, body: dict[str, Any], words: str
) -> None:
    refused = compared(server, models=["chat/lora"], **body)
    assert refused.status_code == 400 and words in refused.json()["error"]["message"]


def test_rows_whose_data_have_gone_or_changed_are_left_out(
    runs: dict[str, Path], server: Server
) -> None:
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.serve.picking import RowPicker

    changed = runs["complete"].parent / "rows" / "test.jsonl"
    content = changed.read_text(encoding="utf-8")
    try:
        changed.write_text(content.replace("June", "August"), encoding="utf-8")
        found = RowPicker(FinishedRun(runs["complete"], "cpu")).search("")
        assert found["total"] == 3 and "left out" in found["note"]
        changed.unlink()
        found = RowPicker(FinishedRun(runs["complete"], "cpu")).search("")
        assert found["total"] == 0 and "left out" in found["note"]
        assert str(changed.parent) not in found["note"]
    finally:
        changed.write_text(content, encoding="utf-8")
    # An input that is all that the task asks with is in the run itself.
    documents = runs["summarize"].parent / "rows"
    hidden = documents.rename(documents.with_name("hidden"))
    try:
        found = RowPicker(FinishedRun(runs["summarize"], "cpu")).search("")
        assert found["total"] == 4 and found["data"] == listed(server, "summarize")["data"]
    finally:
        hidden.rename(documents)


def test_the_data_are_not_read_in_threads_that_other_requests_need(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a large corpus is read again, all that ask for its rows wait, and only those."""
    from bakeoff.serve.picking import ROWS_THREAD, RowPicker

    names: list[str] = []
    plain = RowPicker._all

    def noted(self: RowPicker) -> Any:
        names.append(threading.current_thread().name)
        return plain(self)

    monkeypatch.setattr(RowPicker, "_all", noted)
    listed(server, "complete")
    place = {"study": "complete", "index": 0}
    assert compared(server, models=["complete/lora"], test_row=place).status_code == 200
    assert len(names) == 2 and all(name.startswith(ROWS_THREAD) for name in names)
