"""Which figures lead to which claims of the literature, and where the links end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.claims.registry import claim_named
from bakeoff.page.figure import Figure
from bakeoff.report.answer import build_answer
from bakeoff.report.claims import OTHER_SETS, TITLES, claims_by_place, touched_claims
from bakeoff.report.examples import build_browser, rank_examples
from bakeoff.report.load import load_run
from bakeoff.report.page import build_page
from bakeoff.report.table import build_rows
from bakeoff.runs.folder import CLAIMS_NOTE
from tests.decide.made import study_of, with_set
from tests.golden_folders import copy_of, golden, with_methods
from tests.report.nodes import parse

PLACES = (("test_nll", "quality"), ("learning_rate", "history"), ("latency", "cost"))
FIGURES = [
    Figure(name=name, group=group, title="", caption="", alt="", spec={}) for name, group in PLACES
]


@pytest.mark.parametrize("name", TITLES)
def test_names_and_sentences_are_those_of_the_claims(name: str) -> None:
    assert TITLES[name] == claim_named(name).title


def test_the_methods_decide_which_claims_a_figure_touches() -> None:
    assert claims_by_place(golden("four"), FIGURES) == {
        "test_nll": ["full_rank_lora_is_full", "rank_is_enough_at_8"],
        "learning_rate": ["rate_of_lora_is_ten_times_full"],
        "latency": ["merged_lora_is_free"],
    }


@pytest.mark.parametrize(
    ("kind", "changes", "claims"),
    [
        ("soft_prompt", {"init": "random"}, ["few_tokens_suffice", "init_matters"]),
        ("soft_prompt", {}, ["few_tokens_suffice"]),
        ("prefix", {}, ["prefix_is_not_monotone"]),
        ("lora", {"loraplus_lr_ratio": 4.0}, ["variants_tie_when_tuned"]),
        ("lora", {"target_modules": ["q_proj"]}, ["mlp_matters_more_than_attention"]),
    ],
)
def test_methods_of_a_kind_that_differ_in_an_option(
    kind: str, changes: dict[str, Any], claims: list[str]
) -> None:
    length = {"soft_prompt": "prompt_length", "prefix": "prefix_length"}.get(kind, "seed")
    results = golden("four")
    of_two = {name: results.methods[name] for name in ("lora", "lora_small")}
    results = with_methods(
        replace(results, methods=of_two),
        lora={"kind": kind, "options": {length: 5}},
        lora_small={"kind": kind, "options": {length: 20, **changes}},
    )
    assert claims_by_place(results, FIGURES)["test_nll"] == claims


def test_the_tables_of_other_sets_touch_claims_as_figures_do(tmp_path: Path) -> None:
    means = {"lora": 2.3, "full": 2.4, "zero_shot": 2.0}
    made = with_set(study_of({"lora": 3.0, "full": 3.1}), means, 0.05)
    results = with_methods(made, full={"kind": "full"})
    assert claims_by_place(results, [])[OTHER_SETS] == ["tuning_forgets"]
    assert OTHER_SETS not in claims_by_place(replace(results, also_test={}), FIGURES)
    other = replace(results, study={**results.study, "base": "smollm2-135m"})
    assert OTHER_SETS not in claims_by_place(other, [])
    prompts = with_methods(results, lora={"kind": "soft_prompt"})
    assert claims_by_place(prompts, [])[OTHER_SETS] == ["prompts_resist_shift"]

    copy_of("searched", tmp_path, lambda _: results)
    run = load_run(tmp_path)
    rows = build_rows(run.results)
    answer, ranked = build_answer(run.results, rows), rank_examples(run, rows)
    text = build_page(run, rows, answer, [], build_browser(run, rows, ranked))
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    page = parse(tmp_path)
    [link] = page.one("section", id="also").all("a")
    assert link.attrs["href"] == "#claim-tuning_forgets"
    assert "bakeoff claims tuning_forgets" in page.one("li", id="claim-tuning_forgets").text


def test_a_link_in_a_report_ends_in_the_same_page(complete: Path) -> None:
    page = parse(complete)
    links = [a.attrs["href"] for figure in page.all("figure") for a in figure.all("a")]
    assert "#claim-rank_is_enough_at_8" in links
    for link in set(links):
        item = page.one("li", id=link.removeprefix("#"))
        assert f"bakeoff claims {link.removeprefix('#claim-')} --base tiny" in item.text


def test_a_command_names_what_the_claim_takes(tmp_path: Path) -> None:
    results = with_methods(golden("four"), lora={"kind": "soft_prompt"})
    copy_of("four", tmp_path, lambda _: results)
    run = load_run(tmp_path)

    def said(source: object, *names: str) -> dict[str, tuple[str, str]]:
        study = {**results.study, "task": {**results.study["task"], "source": source}}
        changed = replace(run, results=replace(results, study=study))
        found = touched_claims(changed, {"test_nll": names})
        return {one.name: (one.command, one.where) for one in found}

    of_wire = said("wire", "scale_closes_gap", "tuning_forgets")
    command, where = of_wire["scale_closes_gap"]
    assert command == "bakeoff claims scale_closes_gap --bases BASES" and "one family" in where
    given = said("my rows.csv", "init_matters", "tuning_forgets")
    assert (
        given["init_matters"][0] == "bakeoff claims init_matters --base tiny --data 'my rows.csv'"
    )
    assert given["tuning_forgets"][0] == of_wire["tuning_forgets"][0]
    command, where = said({"train": "a.csv"}, "init_matters")["init_matters"]
    assert command.endswith("--data DATA") and "DATA the file" in where


def test_a_study_of_a_run_of_claims_leads_to_its_verdicts(tmp_path: Path) -> None:
    copy_of("four", tmp_path / "studies" / "one")
    run = load_run(tmp_path / "studies" / "one")
    by_place = claims_by_place(run.results, FIGURES)
    assert [one.page for one in touched_claims(run, by_place)] == [None] * 4
    (tmp_path / "studies" / CLAIMS_NOTE).write_text("- rank_is_enough_at_8\n")
    pages = {one.name: one.page for one in touched_claims(run, by_place)}
    assert pages.pop("rank_is_enough_at_8") == "../../claims.html#rank_is_enough_at_8"
    assert set(pages.values()) == {None}
