from __future__ import annotations

import pytest

from bakeoff.data.hygiene.answers import labels_in_inputs, targets_in_inputs

TEXT = "The storm came at night. It broke the old bridge in two! Nobody was hurt."


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("it broke the OLD bridge", True),
        ("Nobody was hurt. The storm came at night.", True),  # sentences in another order
        ("Nobody was hurt.\nThe bridge fell down.", False),
        ("night", False),  # too short to say anything
        ("the coast", False),
        ("old bridge in", True),
        ("unforgettable", False),
        ("...!!! ... ???", False),  # no sentence at all
        ("暴风雨在夜里来了摧毁了旧桥", False),
    ],
)
def test_targets_word_for_word(target: str, said: bool) -> None:
    assert targets_in_inputs([(TEXT, target)]) == (int(said), 1)


def test_scripts_without_spaces_go_by_characters() -> None:
    text = "暴风雨在夜里来了。它摧毁了镇上那座很旧的石桥。没有人受伤。"
    assert targets_in_inputs([(text, "它摧毁了镇上那座很旧的石桥。")]).found == 1


def test_more_than_half_is_most() -> None:
    rows = [(TEXT, "it broke the old bridge")] * 5 + [(TEXT, "nothing of the kind")] * 5
    assert not targets_in_inputs(rows).is_most
    assert targets_in_inputs([*rows, rows[0]]).is_most


LABELS = ("sport", "business", "not sport")


def test_the_right_label_alone() -> None:
    rows = [("Section: SPORT. The match", LABELS, 0), ("business, shares", LABELS, 1)]
    assert labels_in_inputs(rows) == (2, 2)


def test_a_longer_label_holds_a_shorter_one() -> None:
    assert labels_in_inputs([("this is not sport", LABELS, 2)]) == (1, 1)
    assert labels_in_inputs([("this is not sport", LABELS, 0)]).found == 0


def test_texts_that_name_several_labels_say_nothing() -> None:
    assert labels_in_inputs([("sport or business?", LABELS, 0)]).found == 0


def test_words_that_are_there_for_other_reasons() -> None:
    # "no" is in every text, and six of ten answers are "no".
    rows = [("there is no time", ("yes", "no"), gold) for gold in [1] * 6 + [0] * 4]
    assert labels_in_inputs(rows).found == 0


@pytest.mark.parametrize("labels", [("a", "b"), ("1", "2"), ("10", "20")])
def test_letters_and_numbers_are_no_words(labels: tuple[str, str]) -> None:
    assert labels_in_inputs([("a 1 10", labels, 0)]).found == 0
    assert labels_in_inputs([("10 a", ("10", "20"), 0)]).found == 0
