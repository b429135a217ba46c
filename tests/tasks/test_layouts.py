"""Layouts of ``templates``: columns by their own names, as a task's template."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.tasks.layouts import with_layout
from bakeoff.tasks.registry import read_task

COMPLETE: dict[str, Any] = {
    "kind": "complete",
    "source": "x",
    "prompt": "body",
    "completion": "tag",
}
CLASSIFY: dict[str, Any] = {"kind": "classify", "source": "x", "text": "body", "label": "tag"}
ROW = {"body": "A cat.", "tag": "pets", "title": "News"}


def text_of(given: dict[str, Any], layout: str) -> tuple[str, str]:
    """(prompt, whole text) of a row in a layout."""
    made = dict(with_layout(given, layout, "templates.one"))
    if made["kind"] == "classify":
        made["labels"] = ["pets", "food"]
    example = read_task(made).example(ROW)
    return example.prompt, example.text


@pytest.mark.parametrize("given", [COMPLETE, CLASSIFY])
def test_columns_are_named_as_the_data_name_them(given: dict[str, Any]) -> None:
    assert text_of(given, "{body} {tag}") == ("A cat.", "A cat. pets")
    long = "{{{title}}}\nRead: {body}\nKind: {tag}!"
    assert text_of(given, long) == (
        "{News}\nRead: A cat.\nKind:",
        "{News}\nRead: A cat.\nKind: pets!",
    )


def test_what_a_layout_leaves_out_is_not_read() -> None:
    task = read_task(with_layout(COMPLETE, "{title}: {tag}", "templates.one"))
    assert task.columns == ("title", "tag")
    prompt = task.example(ROW).prompt
    assert prompt == "News:"


def test_roles_are_as_good_as_their_columns() -> None:
    assert text_of(COMPLETE, "{prompt} {completion}") == text_of(COMPLETE, "{body} {tag}")


def test_what_gives_way_is_named_by_its_column_too() -> None:
    given = {**COMPLETE, "cut": "body"}
    assert with_layout(given, "{title} {body} {tag}", "t")["cut"] == "prompt"
    # Where it does not stand in a layout with one column, there is no choice.
    assert with_layout(given, "{title} {tag}", "t")["cut"] is None


@pytest.mark.parametrize(
    ("given", "layout", "message"),
    [
        (COMPLETE, "{tag} {body}", "{body} comes after {tag}, and what is learnt must come last"),
        (COMPLETE, "{body}:", "does not have {tag}, which is what is learnt; put it last"),
        (COMPLETE, "{tag}", "no column comes before {tag}"),
        (COMPLETE, "{body} {body} {tag}", "the column 'body' appears 2 times"),
        (COMPLETE, "{body} {tag", "it has '{' at character 8"),
        (CLASSIFY, "{title} {tag}", "does not have {body}, the column of task.text"),
        ({**COMPLETE, "template": "{prompt}{completion}"}, "{body} {tag}", "both lay rows out"),
        ({"kind": "text", "source": "x"}, "{text}", "a task of the kind text has no template"),
        ({**COMPLETE, "kind": "compleet"}, "{body} {tag}", "did you mean 'complete'"),
    ],
)
def test_a_layout_that_breaks_a_rule(given: dict[str, Any], layout: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_layout(given, layout, "templates.one")
    assert message in str(caught.value)
