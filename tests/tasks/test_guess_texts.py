"""How pairs of texts are joined where no template says it."""

from __future__ import annotations

import pytest

from bakeoff.data.columns import Table
from bakeoff.tasks.guess.guess_texts import guess_completions


@pytest.mark.parametrize(
    ("name", "before", "after", "template"),
    [
        ("prompt", "", "", "{prompt}\n\n{completion}"),
        ("question", "", "", "Question: {prompt}\nAnswer: {completion}"),
        # White space of the data keeps the words apart already.
        ("prompt", " ", "", None),
        ("prompt", "", " ", None),
    ],
)
def test_words_of_prompt_and_completion_are_kept_apart(
    name: str, before: str, after: str, template: str | None
) -> None:
    rows = [
        {name: f"The storm hit town {i} and went on{before}", "completion": f"{after}The {i} coast"}
        for i in range(20)
    ]
    found = guess_completions(Table.of(rows))
    assert found is not None
    assert found.plain_template == template
