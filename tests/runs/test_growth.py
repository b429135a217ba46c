"""What makes another study, and what the same one may grow by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import StoreError
from bakeoff.runs.candidates import CandidateSpec
from bakeoff.runs.events import EVENTS_FILE, CohortJob, Event, EventLog, Narrowed, Packed, Seat
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.growth import Growth, Outline, growth_of, ledger_of, with_ledger

STUDY: dict[str, Any] = {
    "name": "x",
    "base": "tiny",
    "task": {"source": "rows", "max_length": 9},
    "protocol": {"epochs": 3, "seeds": [0]},
    "methods": {"a": {"kind": "lora", "rank": 2}, "b": {"kind": "head"}},
    "search": None,
}


def outline(**changes: Any) -> Outline:
    resolved = {**STUDY, **changes}
    settings = {name: {"": dict(options)} for name, options in resolved["methods"].items()}
    return Outline(resolved=resolved, settings=settings)


def test_the_same_study_has_not_grown() -> None:
    assert not growth_of(outline(), outline(track=["wandb"], checkpoint_minutes=1))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"search": {"growth": 1}}, "search: null and {'growth': 1}"),
        ({"protocol": {"epochs": 3, "seeds": 2}}, "protocol.seeds: [0] and 2"),
        ({"methods": {"a": STUDY["methods"]["a"]}}, "methods.b left out"),
        ({"also_test": {"c": {}, "d": {}}}, "also_test.c, also_test.d added"),
        ({"task": {**STUDY["task"], "metrics": ["f1"]}}, "task.metrics: (not set) and ['f1']"),
    ],
)
def test_what_may_grow(changes: dict[str, Any], line: str) -> None:
    assert growth_of(outline(), outline(**changes)) == Growth(changed=(line,))


def test_what_may_not_differ_and_why() -> None:
    found = growth_of(
        outline(),
        outline(
            base="another",
            protocol={"epochs": 5, "seeds": [0]},
            methods={"b": {"kind": "head"}, "a": {"kind": "lora", "rank": 4}},
        ),
    )
    assert found.refused == (
        "base: 'tiny' and 'another'",
        "protocol.epochs: 3 and 5",
        "methods.a.rank: 2 and 4",
    )
    why = " ".join(found.why)
    assert "such as a_2" in why and "another protocol of training" in why


def test_another_decision_is_refused_with_its_own_reason() -> None:
    found = growth_of(outline(), outline(decision={"metric": "f1"}))
    assert found.refused == ("decision: (not set) and {'metric': 'f1'}",)
    assert found.why[0] == "What counts as better is fixed before the test set is opened."


@pytest.mark.parametrize("why_not", [None, "It cannot."])
def test_more_epochs_are_asked_for_by_themselves(why_not: str | None) -> None:
    asked: list[Any] = []

    def longer(before: Any, now: Any) -> str | None:
        asked.append((before["protocol"], now["protocol"], before["methods"] == now["methods"]))
        return why_not

    now = outline(protocol={"epochs": 5, "seeds": [0, 1]}, methods={"a": STUDY["methods"]["a"]})
    found = growth_of(outline(), now, longer)
    assert asked == [({"epochs": 3, "seeds": [0, 1]}, {"epochs": 5, "seeds": [0, 1]}, True)]
    line = ("protocol.epochs: 3 and 5",)
    assert len(found.changed) == 2
    assert (found.longer, found.refused) == ((line, ()) if why_not is None else ((), line))
    searched = outline(protocol={"epochs": 5, "seeds": [0]}, search={"growth": 1})
    refused = growth_of(outline(), searched, longer)
    assert refused.refused == line and "two steps" in refused.why[0] and len(asked) == 1


def test_base_and_data_at_another_place_are_compared_by_their_content(tmp_path: Path) -> None:
    there = str(tmp_path)
    moved = outline(base=there, task={**STUDY["task"], "source": there})
    found = growth_of(outline(), moved)
    assert not found.refused and len(found.moved) == 2
    for train, is_refused in ((there, False), (f"{there}/gone", True)):
        several = {"train": train, "test": [there, there]}
        found = growth_of(outline(), outline(task={**STUDY["task"], "source": several}))
        assert bool(found.refused) is is_refused and bool(found.moved) is not is_refused
    rows = "rows-" + 32 * "a"
    given = [outline(task={"source": f"{place}/data/{rows}"}) for place in ("a", "b/c")]
    assert not growth_of(given[0], given[1])


def test_a_name_that_was_used_keeps_its_meaning_over_several_studies(tmp_path: Path) -> None:
    def called(**changes: Any) -> None:
        found = outline(**changes)
        RunFolder(tmp_path / "run", found.resolved, outline_of=lambda m: outline(**m)).claim({}, {})

    without = {"methods": {"b": {"kind": "head"}}}
    called()
    called(**without)
    with pytest.raises(StoreError, match=r"methods\.a\.rank: 2 and 4"):
        called(methods={"a": {"kind": "lora", "rank": 4}, "b": {"kind": "head"}})
    called(methods={"b": {"kind": "head"}, "a": {"kind": "lora", "rank": 2}})


def test_what_a_study_grew_by_on_the_way_stays_known(tmp_path: Path) -> None:
    def called(**changes: Any) -> list[str]:
        found = outline(**changes)
        folder = RunFolder(tmp_path, found.resolved, outline_of=lambda m: outline(**m))
        return folder.claim({}, {})

    with_c = {**STUDY["methods"], "c": {"kind": "lora", "rank": 8}}
    assert called() == []
    grown = called(methods=with_c)
    assert grown == ["the study in this folder changed: methods.c added"]
    assert called(methods=with_c) == grown
    called()
    with pytest.raises(StoreError, match=r"methods\.c\.rank: 8 and 9"):
        called(methods={**with_c, "c": {"kind": "lora", "rank": 9}})


def test_a_ledger_that_was_harmed_adds_nothing() -> None:
    now = outline()
    for ledger in ({}, {"settings": [], "searched": 3}, {"settings": {"c": 1, "d": {"": 2}}}):
        assert with_ledger(now, ledger) == now
    assert ledger_of(now) == ledger_of(now, with_ledger(now, ledger_of(now)))


def test_events_are_read_back_and_a_torn_line_is_removed(tmp_path: Path) -> None:
    spec = CandidateSpec(method="ü", options={"rank": 2}, learning_rate=0.1, seed=3)
    job = CohortJob(
        cohort="train-0",
        kind="train",
        group="base",
        seats=(Seat(spec=spec, start=1, stop=3),),
        width=2,
        micro_batch_size=4,
        threads=1,
    )
    halved = Narrowed(cohort="train-0", group="base", width=2, micro_batch_size=2)
    events: list[Event] = [Packed(job=job), halved]
    log = EventLog(tmp_path)
    for event in events:
        log.add(event)
    with (tmp_path / EVENTS_FILE).open("ab") as file:
        file.write(b'{"event": "pac')
    found = EventLog(tmp_path)
    assert found.events == events
    assert found.jobs("train") == [job] and found.jobs("test") == []
    assert found.narrowed("base") == halved and found.narrowed("hidden_states") is None
    # What memory did not hold once is not tried again, and nothing becomes wider than it was.
    assert found.as_narrowed(job) == replace(job, micro_batch_size=2)
    assert found.as_narrowed(replace(job, width=1, micro_batch_size=1)).width == 1
    assert found.as_narrowed(replace(job, group="other")) == replace(job, group="other")
    found.add(events[0])
    assert EventLog(tmp_path).events == [*events, events[0]]
    for line in (b'{"event": "unheard of"}', b"null"):
        assert "events.jsonl, line 4: is no event of this version" in refused(tmp_path, line)
    [first, *_] = (tmp_path / EVENTS_FILE).read_bytes().splitlines()
    changed = first.replace(b'"width": 2', b'"width": 3')
    assert changed != first
    assert "events.jsonl, line 4: changed since it was written" in refused(tmp_path, changed)


def refused(folder: Path, line: bytes) -> str:
    """What is said of a log with one line more, which is then taken away again."""
    file = folder / EVENTS_FILE
    before = file.read_bytes()
    file.write_bytes(before + line + b"\n")
    with pytest.raises(StoreError) as caught:
        EventLog(folder)
    file.write_bytes(before)
    return str(caught.value)


def test_how_texts_are_written_may_change_where_none_were() -> None:
    before, now = ({"generation": {"no_repeat_ngram": count}} for count in (3, 0))
    assert growth_of(Outline(resolved=before), Outline(resolved=now)).refused
    grown = growth_of(Outline(resolved=before, writes=False), Outline(resolved=now))
    assert grown.refused == () and len(grown.changed) == 1
    # As a folder compares them: with what it has kept of earlier calls.
    known = with_ledger(Outline(resolved=before, writes=False), {})
    assert growth_of(known, Outline(resolved=now)) == grown
