from __future__ import annotations

import pytest

from bakeoff.errors import ConfigError
from bakeoff.metrics import lead, split_sentences

CASES = {
    "plain": ("He won. She lost!  Who cares?", ["He won.", "She lost!", "Who cares?"]),
    "lines": ("First line\n\nsecond one. \r\n third", ["First line", "second one.", "third"]),
    "lower-cased": ("he won. she lost. ok", ["he won.", "she lost.", "ok"]),
    "tokenised": ("he won . she lost .", ["he won .", "she lost ."]),
    "titles": ("Mr. Smith met Dr. J. R. Jones. They talked.", 2),
    "lower-cased titles": ("mr. j. smith saw the u.s. president at 3 p.m. today. he left.", 2),
    "decimals": ("It cost 3.5 million. No. 5 came on Jan. 6. He said no. She left.", 4),
    "acronyms": (
        "The U.S. Army won. He lives in the U.S. She does not.",
        ["The U.S. Army won.", "He lives in the U.S.", "She does not."],
    ),
    "companies": ("Apple Inc. Chief Tim spoke. It is Apple Inc. The firm grew.", 3),
    "quotation goes on": ('"Why?" he asked. "Because."', ['"Why?" he asked.', '"Because."']),
    "quotation ends": ('He said: "I won." Then he left.', ['He said: "I won."', "Then he left."]),
    "curly quotes": ("“I won.” She lost.", ["“I won.”", "She lost."]),
    "free-standing quotes": ('" i won . " she lost .', ['" i won . "', "she lost ."]),
    "treebank quotes": ("`` i won . '' she lost .", ["`` i won . ''", "she lost ."]),
    "brackets": ("-lrb- he won . -rrb- she lost .", ["-lrb- he won . -rrb-", "she lost ."]),
    "possessive": ("It was Anna's. Then it was lost.", ["It was Anna's.", "Then it was lost."]),
    "ellipsis": ("Well ... she said so. Well ... She left.", 3),
    "dots apart": ("well . . . ok", ["well . . .", "ok"]),
    "list": ("1. Mix the flour. 2. Bake it.", ["1. Mix the flour.", "2. Bake it."]),
    "year": ("It ended in 2010. He left.", ["It ended in 2010.", "He left."]),
    "address": ("See www.bbc.co.uk for more. Bye.", ["See www.bbc.co.uk for more.", "Bye."]),
    "full width": ("今日は。明日は。", ["今日は。", "明日は。"]),
    "no stop": ("no stop at all", ["no stop at all"]),
    "only stops": ("...", ["..."]),
    "empty": (" \n ", []),
}


@pytest.mark.parametrize("name", CASES)
def test_split_sentences(name: str) -> None:
    text, expected = CASES[name]
    sentences = split_sentences(text)
    if isinstance(expected, int):
        assert len(sentences) == expected, sentences
    else:
        assert sentences == expected


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost(name: str) -> None:
    text = CASES[name][0]
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_lead() -> None:
    assert lead("He won. She lost.\nThey left.", 2) == "He won.\nShe lost."
    assert lead("He won. She lost.", 1) == "He won."
    assert lead("He won.", 3) == "He won."
    assert lead("", 3) == ""
    with pytest.raises(ConfigError, match="k is 0"):
        lead("He won.", 0)
