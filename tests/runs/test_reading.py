"""Results read back: of this schema and of the first, whole, partial and wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import StoreError
from bakeoff.runs.reading import from_json, read_results, results_from, to_json
from bakeoff.runs.records import SCHEMA, Comparison, Estimate, Results
from bakeoff.types import RunState
from tests.golden_folders import GOLDEN, golden

Content = dict[str, Any]


def content_of(name: str) -> Content:
    found: Content = json.loads((GOLDEN / name / "results.json").read_text("utf-8"))
    return found


def set_at(*path: str, to: Any = None) -> Callable[[Content], None]:
    """Replaces the value at a path of keys; without one it is taken away."""

    def change(content: Content) -> None:
        *way, last = path
        for key in way:
            content = content[key]
        if to is None:
            del content[last]
        else:
            content[last] = to

    return change


class TestFirstEdition:
    def test_a_finished_run_reads_as_records_with_the_same_figures(self) -> None:
        old, new = content_of("schema1"), golden("schema1")
        assert old["schema"] == 1 and new.schema == SCHEMA
        assert new.primary.name == "nll"
        assert list(new.methods) == list(old["methods"])
        for name, method in new.methods.items():
            was = old["methods"][name]
            assert method.test["nll"] == Estimate(**was["test_nll_interval"])
            assert method.test["rouge1"] == Estimate(**was["rouge1"])
            assert method.validation["nll"].mean == was["val_nll"]
            assert method.cost.adapter_bytes == was["adapter_bytes"]
            assert method.cost.epoch_seconds is not None
            assert method.cost.epoch_seconds.mean == was["epoch_seconds"]["mean"]
            assert method.cost.token_latency_seconds == Estimate(mean=was["token_latency_seconds"])
            assert method.seeds == (0, 1)
            assert method.search is not None and len(method.search.curve) == len(
                was["search"]["curve"]
            )
        zero = new.baselines["zero_shot"].test["nll"]
        assert (zero.mean, zero.low) == (
            old["baselines"]["zero_shot"]["test_nll"],
            old["baselines"]["zero_shot"]["intervals"]["test_nll"]["low"],
        )
        assert new.baselines["lead"].sentences == old["baselines"]["lead"]["k"] == 3
        assert new.search is not None and new.search.rungs == tuple(old["search"]["rungs"])

    def test_a_verdict_names_what_it_says_of_the_first(self) -> None:
        words = {"a": "better", "b": "worse", "tie": "undecided"}
        old, new = content_of("schema1")["comparisons"], golden("schema1").comparisons
        assert [c.verdict for c in new] == [words[c["verdict"]] for c in old]
        assert {c.metric for c in new} == {"nll", "rouge1", "rouge2", "rougeL", "rougeLsum"}
        assert {c.seeds for c in new if c.a == "lora"} == {(2, 2)}
        assert {c.examples for c in new} == {10}
        assert {(c.margin, c.level, c.set) for c in new} == {(None, 0.95, "test")}

    def test_a_recommendation_keeps_its_limits_and_those_that_miss_them(self) -> None:
        content = content_of("schema1")
        old = content["recommendation"]
        old |= {"limits": ["2 GiB"], "outside": [{"method": "head", "reasons": ["3 GiB"]}]}
        new = results_from(content, where="x").recommendation
        assert new.limits == ("2 GiB",) and new.changes == tuple(old["changes"])
        assert [(one.method, one.reasons) for one in new.outside] == [("head", ("3 GiB",))]

    def test_an_interrupted_run_reads_as_far_as_it_came(self) -> None:
        found = golden("schema1_partial")
        assert found.status == "partial"
        assert found.methods["head"].state is RunState.WAITING
        assert found.methods["head"].test == {} and found.methods["head"].seeds == ()
        assert found.methods["lora"].cost.epoch_seconds is None
        assert found.comparisons == () and found.recommendation.method is None

    @pytest.mark.parametrize("name", ["schema1", "schema1_partial"])
    def test_what_was_migrated_is_written_and_read_as_records_of_today(self, name: str) -> None:
        found = golden(name)
        assert results_from(to_json(found), where="x") == found

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (set_at("environment"), "environment is missing, which schema 1 has"),
            (set_at("methods", "lora", "kind"), "kind is missing, which schema 1 has"),
            (
                set_at("methods", "lora", "trainable_parameters", to="many"),
                r'methods\.lora\.cost\.trainable_parameters is "many", expected: a valid integer',
            ),
            (set_at("methods", to=[]), "does not fit schema 1, which it names"),
            (
                set_at("candidates", "lora-lr0.01778-s0", "state", to="DONE"),
                r'candidates\.lora-lr0\.01778-s0\.state is "DONE", expected: ',
            ),
        ],
    )
    def test_one_that_is_not_what_its_schema_says_is_refused(
        self, change: Callable[[Content], None], message: str
    ) -> None:
        content = content_of("schema1")
        change(content)
        with pytest.raises(StoreError, match=f"^results: .*{message}"):
            results_from(content, where="results")


class TestPresent:
    @pytest.mark.parametrize("name", ["four", "searched", "partial"])
    def test_what_is_written_is_read_and_written_the_same(self, name: str) -> None:
        content = content_of(name)
        assert content["schema"] == SCHEMA
        assert to_json(golden(name)) == content

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (set_at("environment", "device"), r"environment\.device is missing"),
            (
                set_at("methods", "lora", "learning_rate", to="0.005"),
                r'methods\.lora\.learning_rate is "0\.005", expected: a valid number',
            ),
            (
                set_at("data", "test", "examples", to=1.5),
                r"data\.test\.examples is 1\.5, expected: a valid integer",
            ),
            (set_at("status", to="done"), "status is \"done\", expected: 'complete' or 'partial'"),
        ],
    )
    def test_a_missing_or_mistyped_key_is_named_with_its_file(
        self, tmp_path: Path, change: Callable[[Content], None], message: str
    ) -> None:
        content = content_of("four")
        change(content)
        (tmp_path / "results.json").write_text(json.dumps(content))
        with pytest.raises(StoreError, match=rf"results\.json: is not the Results .*{message}"):
            read_results(tmp_path)

    def test_all_that_is_wrong_is_counted(self) -> None:
        with pytest.raises(StoreError, match=r"; .*; .* \(and 10 more\); restore the file"):
            from_json(Comparison, {}, where="x")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"schema": SCHEMA + 1}, f"schema is {SCHEMA + 1}, and this version .* reads up to"),
            ({"schema": 0}, "schema is 0, expected a whole number from 1"),
            ({"schema": True}, "schema is True, expected"),
            ({"schema": "2"}, "schema is '2', expected"),
            ({}, "schema is None, expected"),
            ([1], "schema is None, expected"),
        ],
    )
    def test_another_schema_is_refused(self, content: Any, message: str) -> None:
        with pytest.raises(StoreError, match=message):
            results_from(content, where="x")


class TestFiles:
    def test_a_folder_without_results(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"results\.json: not found; .* `bakeoff run` writes"):
            read_results(tmp_path)

    def test_a_run_that_was_killed(self, tmp_path: Path) -> None:
        (tmp_path / "study.yaml").write_text("name: cut\n")
        with pytest.raises(StoreError, match=r"not found; the run was cut off .* takes it up"):
            read_results(tmp_path)

    @pytest.mark.parametrize("content", [b'{"schema": 1, "meth', b"", b"\xff\xfe", b"[" * 200_000])
    def test_torn_results(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "results.json").write_bytes(content)
        with pytest.raises(StoreError, match=r"results\.json: not readable as JSON"):
            read_results(tmp_path)


def test_numbers_that_are_not_finite_are_null() -> None:
    assert to_json(Estimate(mean=1.0, low=float("nan"), high=float("inf"))) == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "per_seed": [],
    }


def test_a_number_is_no_text() -> None:
    with pytest.raises(StoreError, match='mean is "3"'):
        from_json(Estimate, {"mean": "3"}, where="x")


def test_records_are_frozen() -> None:
    found: Results = golden("four")
    with pytest.raises(AttributeError):
        found.status = "partial"  # type: ignore[misc]


def test_a_comparison_of_before_sides_could_be_fixed_has_none() -> None:
    [first, *_] = json.loads((GOLDEN / "four/results.json").read_text("utf-8"))["comparisons"]
    assert from_json(Comparison, first, where="x").fixed == (True, False)
    older = {key: value for key, value in first.items() if key != "fixed"}
    assert from_json(Comparison, older, where="x").fixed == (False, False)
