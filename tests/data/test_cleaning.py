from __future__ import annotations

import pytest

from bakeoff.data.cleaning import clean, normalise
from bakeoff.data.options import CleaningStep


@pytest.mark.parametrize(
    ("steps", "text", "expected"),
    [
        ((), "  A  b.\n", "A  b."),
        (("lowercase",), "ÉTÉ Über", "été über"),
        (("strip_punctuation",), "“No”, she said — it's $5!", "No she said  its 5"),
        (("strip_punctuation",), "हिन्दी भाषा।", "हिन्दी भाषा"),
        (("strip_punctuation",), "one.\ntwo.", "one\ntwo"),
        (("collapse_whitespace",), "a\t b\u00a0\n c", "a b c"),
        (("lowercase", "strip_punctuation", "collapse_whitespace"), "A - B", "a b"),
        (("strip_punctuation",), "...", ""),
        (("lowercase",), "A\x00B", "a\x00b"),
    ],
)
def test_clean(steps: tuple[CleaningStep, ...], text: str, expected: str) -> None:
    assert clean(text, steps) == expected


def test_steps_run_in_order() -> None:
    assert clean("a - b", ("collapse_whitespace", "strip_punctuation")) == "a  b"
    assert clean("a - b", ("strip_punctuation", "collapse_whitespace")) == "a b"


def test_normalise_ignores_case_and_spacing_only() -> None:
    assert normalise(" The\n Storm ") == normalise("the storm")
    assert normalise("the storm.") != normalise("the storm")
    assert normalise("ﬁre") == normalise("FIRE")
