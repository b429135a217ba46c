"""Kinds of tasks by name, and the task section of a study."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.plugins import Plugins
from bakeoff.tasks import registry
from bakeoff.tasks.classify import Classify
from bakeoff.tasks.complete import Complete
from bakeoff.tasks.contract import Task
from bakeoff.tasks.registry import read_task, register_task, task_kinds, task_type
from bakeoff.tasks.summarize import Summarize, SummarizeOptions


@dataclass(frozen=True, kw_only=True)
class ShoutOptions(SummarizeOptions):
    kind: str = "shout"
    volume: int = 3


class Shout(Summarize):
    kind = "shout"
    options_type = ShoutOptions
    options: ShoutOptions


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, type[Task]]]:
    """What tests register is gone after each."""
    found: dict[str, type[Task]] = {}
    monkeypatch.setattr(registry, "_registered", found)
    yield found


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points as if packages had brought them."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: list(points))
    found = Plugins("bakeoff.tasks", "task", ("summarize", "classify"))
    monkeypatch.setattr(registry, "_plugins", found)
    return points


def message_of(given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_task(given)
    return str(caught.value)


def test_built_in_kinds() -> None:
    assert task_kinds()[:5] == ("summarize", "classify", "choose", "complete", "text")
    assert task_type("summarize") is Summarize
    assert task_type("classify") is Classify
    assert task_type("complete") is Complete


def test_a_section_is_checked_and_becomes_a_task() -> None:
    task = read_task({"kind": "classify", "source": "wire", "text": "article", "label": "desk"})
    assert isinstance(task, Classify)
    assert (task.options.text, task.options.label) == ("article", "desk")
    assert task.options.max_target_tokens == 16


def test_a_section_without_kind_is_an_older_study_s() -> None:
    task = read_task({"source": "wire", "max_summary_tokens": 32})
    assert isinstance(task, Summarize)
    assert task.options.kind == "summarize"
    assert task.options.max_target_tokens == 32


def test_what_is_given_stays_as_it_was() -> None:
    given = {"source": "wire", "max_summary_tokens": 32}
    read_task(given)
    assert given == {"source": "wire", "max_summary_tokens": 32}


def test_both_names_of_an_option_are_one_too_many() -> None:
    message = message_of({"source": "wire", "max_summary_tokens": 32, "max_target_tokens": 32})
    assert "task.max_summary_tokens" in message
    assert "task.max_target_tokens is given too" in message
    assert "remove task.max_summary_tokens" in message


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("sumarize", "did you mean 'summarize'?"), ("translate", "There are summarize, classify")],
)
def test_an_unknown_kind_names_those_that_there_are(kind: str, hint: str) -> None:
    message = message_of({"kind": kind, "source": "wire"})
    assert f"task.kind: there is no kind of task {kind!r}" in message
    assert hint in message
    assert "summarize, classify" in message


@pytest.mark.parametrize("kind", [3, None, ["classify"]])
def test_a_kind_that_is_no_text_is_refused(kind: object) -> None:
    message = message_of({"kind": kind, "source": "wire"})
    assert f"task.kind: {kind!r}" in message
    assert "summarize, classify" in message


@pytest.mark.parametrize("given", ["classify", ["classify"], None, 3])
def test_a_section_that_is_no_mapping_is_refused(given: object) -> None:
    message = message_of(given)
    assert f"task = {given!r}" in message
    assert "{kind: classify, source: data}" in message


@pytest.mark.parametrize(
    ("given", "place", "hint"),
    [
        ({"kind": "classify", "txt": "x"}, "task.txt", "text"),
        ({"kind": "classify", "document": "x"}, "task.document", "text"),
        ({"lable": "x"}, "task.lable", "template"),
        ({"examples": {"trian": 3}}, "task.examples.trian", "train"),
        ({"max_length": "long"}, "task.max_length", "'long'"),
    ],
)
def test_an_unknown_key_or_a_wrong_type_names_its_place(
    given: dict[str, Any], place: str, hint: str
) -> None:
    message = message_of({"source": "wire", **given})
    assert place in message
    assert hint in message


def test_the_place_can_be_another() -> None:
    with pytest.raises(ConfigError, match=r"studies\.one\.task\.seed"):
        read_task({"source": "wire", "seed": -1}, path="studies.one.task")


def test_a_kind_of_one_s_own() -> None:
    assert register_task(Shout) is Shout
    assert register_task(Shout) is Shout, "the same one twice is no matter"
    assert "shout" in task_kinds()
    task = read_task({"kind": "shout", "source": "wire", "volume": 11})
    assert isinstance(task, Shout)
    assert task.options.volume == 11


@pytest.mark.parametrize("kind", ["summarize", "shout"])
def test_a_name_can_be_taken_once(kind: str) -> None:
    register_task(Shout)
    other = type("Other", (Summarize,), {"kind": kind})
    with pytest.raises(ConfigError, match=f"the kind {kind!r} exists already; choose another"):
        register_task(other)
    assert task_type(kind) is not other


def test_a_package_s_kind_is_loaded_where_it_is_asked_for(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("shout", f"{Shout.__module__}:Shout", "bakeoff.tasks"))
    assert "shout" in task_kinds()
    assert task_type("shout").__name__ == "Shout"


def test_a_package_s_kind_of_another_name_is_refused(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("whisper", f"{Shout.__module__}:Shout", "bakeoff.tasks"))
    message = message_of({"kind": "whisper", "source": "wire"})
    assert f"whose {Shout.__module__}:Shout is no Task of the kind 'whisper'" in message


def test_a_package_that_cannot_be_imported_is_named(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("whisper", "no_such_package:Whisper", "bakeoff.tasks"))
    message = message_of({"kind": "whisper", "source": "wire"})
    assert "task.kind: 'whisper'" in message
    assert "whose no_such_package:Whisper cannot be imported (ModuleNotFoundError" in message
    assert "mend or remove that package" in message
    assert isinstance(read_task({"source": "wire"}), Summarize), "others do not need it"
