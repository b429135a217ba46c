"""What the review of the first edition found to crash on a GPU, and that the watch sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fake_cuda.conftest import Children

pytestmark = pytest.mark.fake_cuda
NAMES = (
    "forbidden",
    "allowed",
    "rotary-dynamic",
    "rotary-longrope",
    "broken-step",
    "recomputed",
    "costs",
    "epoch-seconds",
    "narrowed",
    "fourier-generation",
    "kept-on-the-host",
    "resumed",
    "aside",
    "small-base",
)


@pytest.fixture(scope="module")
def found(children: Children) -> Any:
    """What a probe found; all run in one process."""
    names = {name: f"probe:{name}" for name in NAMES}
    children.start(names.values())
    return lambda name: children.found(names[name])


def test_the_watch_refuses_what_no_graph_holds(found: Any) -> None:
    assert set(found("forbidden").values()) == {"refused"}


def test_the_watch_lets_through_what_a_graph_holds(found: Any) -> None:
    answers = found("allowed")
    assert (answers["waits"], answers["waited"], answers["grad"]) == (0, "refused", "cuda:0")


def test_a_base_that_cannot_be_captured_runs_uncaptured_with_one_note(found: Any) -> None:
    """Dynamic rotary embeddings branch on the largest position in every pass."""
    answers = found("rotary-dynamic")
    assert answers["states"] == ["COMPLETE", "COMPLETE"]
    [note] = answers["notes"]
    assert "cannot be captured in CUDA graphs (item() while a graph is captured" in note
    assert not answers["may_capture"]
    # Generation after training knows; where it comes first, it finds out, once.
    assert answers["captures"] == answers["replays"] == 0
    assert answers["notes_later"] == []
    assert len(answers["notes_of_generation"]) == 1
    assert answers["texts"] == 6


def test_rotary_embeddings_that_choose_without_a_branch_are_captured(found: Any) -> None:
    answers = found("rotary-longrope")
    assert answers["states"] == ["COMPLETE", "COMPLETE"]
    assert answers["notes"] == answers["notes_later"] == answers["notes_of_generation"] == []
    assert answers["may_capture"]
    assert answers["captures"] > 0


def test_only_a_failed_capture_falls_back(found: Any) -> None:
    answers = found("broken-step")
    assert answers["broken"] == "shapes differ"
    assert answers["memory"] == "went on", "the update has run; its shape stays uncaptured"
    assert answers["broken notes"] == answers["memory notes"] == "0"
    assert answers["may_capture"]


def test_updates_that_compute_activations_again_are_captured(found: Any) -> None:
    answers = found("recomputed")
    assert answers["captures"] > 0
    assert answers["notes"] == [] and answers["may_capture"]


def test_no_cost_holds_the_capture(found: Any) -> None:
    answers = found("costs")
    assert answers["captures"] > 0
    assert answers["latency"] == pytest.approx(0.25), "a replay's time"
    # 24 tokens: one by the prompts' own pass, and one each to warm up two and then one row.
    assert answers["rows_per_second"] == pytest.approx(2 / (21 * 0.25))


def test_an_update_is_timed_as_it_is_captured(found: Any) -> None:
    """Subtracted from each pass as if it were not, it would make passes too cheap or too dear."""
    answers = found("epoch-seconds")
    wanted = answers["replay"] * (answers["passes"] + answers["updates"])
    assert answers["train"] == pytest.approx(wanted)


def test_slots_are_narrowed_by_an_index_made_once(found: Any) -> None:
    answers = found("narrowed")
    assert answers == {"shapes": [[1, 5], [1, 5]], "whole": True, "waits": 0}


def test_what_says_it_cannot_be_captured_is_not(found: Any) -> None:
    answers = found("fourier-generation")
    assert (answers["captures"], answers["texts"], answers["notes"]) == (0, 6, [])
    assert answers["may_capture"], "the base itself is not at fault"


def test_an_epoch_goes_on_from_its_middle(found: Any) -> None:
    answers = found("resumed")
    assert 0 < answers["step"] < answers["later"]
    assert answers["sums"]


def test_hidden_states_on_the_host_reach_the_device_without_a_wait(found: Any) -> None:
    answers = found("kept-on-the-host")
    assert answers == {"device": "cuda:0", "waits": 0}


def test_a_base_that_is_set_aside_leaves_the_card_and_comes_back(found: Any) -> None:
    answers = found("aside")
    assert answers["held"] == answers["after"] > 0
    assert answers["inside"] == 0


def test_a_small_base_is_made_on_a_card(found: Any) -> None:
    answers = found("small-base")
    assert answers["steps"] == [1, 2, 3] and answers["losses"] == [1.0] * 3
    assert answers["devices"] == ["cuda:0"]
    assert answers["waits"] == 0
