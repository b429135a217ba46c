# ruff: noqa: RUF001 - letters of other scripts are what is tested
from __future__ import annotations

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer as LibraryScorer
from rouge_score.tokenizers import DefaultTokenizer

from bakeoff.metrics import ROUGE_KEYS, rouge_scores, split_sentences
from bakeoff.metrics.rouge_tokens import (
    EnglishTokenizer,
    EveryScriptTokenizer,
    is_english,
    share_without_spaces,
)

ENGLISH = """The café near the São Paulo office has been closed since Monday.
Jürgen Klopp said that he will leave Liverpool, the club's owners confirmed.
It costs £16,730 — “a bargain”, they say… about 20°C, H₂O and ½ of it.
three-time winner novak djokovic beats nišić; the serb's_2nd title 3.5m
NAÏVE PEOPLE and their running shoes, which were not running"""
OTHERS = """Премьер-министр сказал, что план не изменится.
今日は天気がいいです。明日は雨が降るでしょう。
北京今天下雪了。
총리는 계획이 바뀌지 않을 것이라고 말했다.
प्रधानमंत्री ने कहा कि योजना नहीं बदलेगी।
قال رئيس الوزراء إن الخطة لن تتغير.
Ο πρωθυπουργός είπε ότι το σχέδιο δεν θα αλλάξει.
นายกรัฐมนตรีกล่าวว่าแผนจะไม่เปลี่ยนแปลง
Der Minister erklärte, dass die Regierung den Plan nicht ändern will.
La ministre a déclaré que le gouvernement ne changera pas son plan.
El presidente dijo que no habrá cambios en la política económica.
Cô ấy nói rằng kế hoạch sẽ không thay đổi."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Привет, мир! Ёлка", ["привет", "мир", "ёлка"]),
        ("今日は雨。カメラ・ー", ["今", "日", "は", "雨", "カ", "メ", "ラ", "ー"]),
        ("猫catねこ 12月", ["猫", "cat", "ね", "こ", "12", "月"]),
        ("हिन्दी में ४२", ["हिन्दी", "में", "४२"]),
        ("วันดี", ["วั", "น", "ดี"]),
        ("l'État naïf", ["l", "état", "naïf"]),
        ("cafe\u0301 ＡＢＣ ﬁne", ["café", "abc", "fine"]),
        ("Straße ΣΊΣΥΦΟΣ", ["strass", "σίσυφοσ"]),  # ASCII once its case is folded, so stemmed
        ("می\u200cخواهم", ["میخواهم"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("🙂\ufe0f \u0301x", ["x"]),
        ("", []),
    ],
)
def test_letters_of_every_script_are_kept(text: str, words: list[str]) -> None:
    assert EveryScriptTokenizer().tokenize(text) == words


def test_ascii_gives_what_the_library_gives() -> None:
    library = DefaultTokenizer(use_stemmer=True)
    ours = EnglishTokenizer(), EveryScriptTokenizer()
    rng = random.Random(7)
    characters = [chr(code) for code in range(128)] + list("aeinrst  ") * 9
    texts = ["".join(rng.choices(characters, k=rng.randrange(200))) for _ in range(300)]
    texts += ["The Running_dogs' 3.5 studies, generously flying and ties ponies"]
    for text in texts:
        assert is_english(text)
        words = library.tokenize(text)
        assert [tokenizer.tokenize(text) for tokenizer in ours] == [words, words]


@pytest.mark.parametrize("text", ENGLISH.splitlines())
def test_english_scores_as_the_library_scores_it(text: str) -> None:
    assert is_english(text)
    library = LibraryScorer(list(ROUGE_KEYS), use_stemmer=True)
    rng = random.Random(5)
    for _ in range(20):
        words = text.split()
        rng.shuffle(words)
        prediction = " ".join(words[: rng.randrange(len(words) + 1)])
        split = ["\n".join(split_sentences(one)) for one in (text, prediction)]
        expected = [library.score(*split)[key].fmeasure for key in ROUGE_KEYS]
        assert rouge_scores([prediction], [text])[0].tolist() == expected


@pytest.mark.parametrize("text", OTHERS.splitlines())
def test_other_languages_score(text: str) -> None:
    assert not is_english(text)
    half = text[: len(text) // 2]
    same, part, other = rouge_scores([text, half, "entirely English words"], [text] * 3)
    np.testing.assert_array_equal(same, 1.0)
    assert 0.3 < part.min() < part.max() < 1.0
    assert not other.any()


def test_what_a_model_wrote_does_not_choose_the_words() -> None:
    """A row's rule follows from its reference, so that all candidates are scored alike."""
    russian = "кошка сидит на окне"
    scores = rouge_scores(["the cat", "the cat кошка", russian], ["the cat"] * 3)
    np.testing.assert_array_equal(scores[:, 0], [1.0, 1.0, 0.0])
    np.testing.assert_allclose(rouge_scores(["the cat кошка"], [russian])[0, 0], 2 / 7)


def test_the_share_of_letters_without_spaces_between_words() -> None:
    assert share_without_spaces("") == share_without_spaces("12 ...") == 0.0
    assert share_without_spaces("storm") == 0.0
    assert share_without_spaces("嵐の夜") == 1.0
    assert share_without_spaces("ab 嵐夜") == 0.5
