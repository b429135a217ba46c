"""The page: what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.decide.recommendation import recommend
from bakeoff.decide.representative import representative
from bakeoff.formatting import shown_bytes, shown_seconds
from bakeoff.report import write_report
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import Comparison, Results
from tests.golden_folders import copy_of, golden
from tests.report.conftest import ONE_MEGABYTE
from tests.report.nodes import Node, browser, parse, table, tags

METHODS = ("traditional", "lora", "lora_small", "full")
RATES = {"traditional": "2e-3", "lora": "5e-3", "lora_small": "5e-3", "full": "1e-3"}
BY_LOSS = ["full", "lora", "lora_small", "traditional", "zero-shot", "lead-3"]


@pytest.fixture(scope="module")
def page(complete: Path) -> Node:
    return parse(complete)


@pytest.fixture(scope="module")
def within(limited: Path) -> Node:
    return parse(limited)


@pytest.fixture(scope="module")
def results() -> Results:
    return golden("four")


@pytest.fixture(scope="module")
def cut_off(partial: Path) -> Node:
    return parse(partial)


@pytest.fixture(scope="module", params=["complete", "partial", "hostile"])
def any_page(request: pytest.FixtureRequest) -> Node:
    return parse(request.getfixturevalue(request.param))


class TestAnswer:
    def test_the_first_sentence_says_what_the_best_baseline_reaches(self, page: Node) -> None:
        headline = page.one(class_="headline")
        assert headline.one("strong").text == "Use full"
        assert headline.text.startswith(
            "Use full: the best baseline, zero-shot, reaches a test NLL of 5.554 nats per token; "
            "full reaches 1.648, but lead-3 is ahead in ROUGE-1 (31.9 against 28.7; undecided), "
            "ROUGE-2 (15.2 against 10.0; undecided) and ROUGE-Lsum (27.9 against 27.6; undecided). "
            "full costs "
        )
        assert page.one(class_="why").text.startswith(
            "full is shown better than each of the other 3 methods and better than the baseline "
            "zero-shot (level 0.95)."
        )
        assert tags(page)["full"] == ["recommended"]

    def test_a_pair_that_says_less_than_the_recommendation_is_explained(self, within: Node) -> None:
        assert within.one(class_="headline").one("strong").text == "Use lora"
        why = within.one(class_="why").text
        assert why.startswith("lora is shown better than the other method within the limits")
        assert (
            "The recommendation is a family of its own at the same level: lora is the best, "
            "although in the table of pairs the one with lora_small reads equivalent." in why
        )

    def test_equivalent_and_undecided_methods_are_tagged(self, tmp_path: Path) -> None:
        def near(results: Results) -> Results:
            """lora_small is as good as full, and lora is not told apart."""
            errors = {"lora_small": (0.0, 0.002), "lora": (0.2, 0.2)}

            def other(c: Comparison) -> Comparison:
                (name,) = {c.a, c.b} - {"full"} if "full" in (c.a, c.b) else {""}
                if c.metric != "nll" or name not in errors:
                    return c
                difference, error = errors[name]
                return replace(
                    c, difference=difference if c.a == name else -difference, error=error
                )

            return replace(results, comparisons=tuple(map(other, results.comparisons)))

        copy_of("four", tmp_path, near)
        write_report(tmp_path)
        found = tags(parse(tmp_path))
        assert found["lora_small"] == ["recommended", "smallest adapter"]
        assert found["full"] == ["equivalent"]

    def test_limits_and_what_misses_them_are_said(self, within: Node) -> None:
        assert within.one(class_="limits").text == "Limits: adapter size at most 977 KiB."
        outside = [li.text for li in within.one(class_="outside").all("li")]
        assert outside[1].startswith("full: adapter size 4.40 MiB, over 977 KiB")

    def test_the_answer_names_its_price(self, page: Node, results: Results) -> None:
        cost = results.methods["full"].cost
        assert cost.epoch_seconds is not None
        assert page.one(class_="headline").text.endswith(
            f"full costs {shown_seconds(cost.epoch_seconds.mean)} per epoch, "
            f"{shown_bytes(cost.peak_memory_bytes)} of memory and "
            f"{shown_bytes(cost.adapter_bytes)} to keep."
        )
        facts = {f.one("dt").text: f.one("b").text for f in page.one(class_="facts").all("div")}
        assert facts["Trainable parameters"] == "1,119,488"
        assert list(facts)[:2] == ["Test NLL, nats per token", "ROUGE-1 × 100"]

    def test_the_answer_says_how_sure_it_is_and_what_would_change_it(
        self, within: Node, results: Results
    ) -> None:
        assert "at the 95\u00a0% level for all 10 pairs together (Holm's correction) of test" in (
            within.one(class_="why").text
        )
        assert (
            "Methods count as equivalent where they surely differ by less than 0.358 nats per "
            "token (a tenth of what the best method gains"
        ) in within.one(class_="why").text
        given = recommend(results, ONE_MEGABYTE)
        changes = [li.text for li in within.one(class_="changes").all("li")]
        assert changes == list(given.changes)
        assert changes[0].startswith("Without the limits full would be recommended")
        (rival,) = [li.text for li in within.one(class_="rivals").all("li")]
        (runner_up,) = given.runners_up
        sign = "\u2212" if runner_up.difference < 0 else "+"
        assert rival.startswith(
            f"lora_small {sign}{abs(runner_up.difference):.3f} nats per token ("
        )
        assert rival.endswith("): equivalent")

    def test_every_rival_has_its_verdict(self, page: Node) -> None:
        rivals = [li.text for li in page.one(class_="rivals").all("li")]
        assert [rival.partition(" ")[0] for rival in rivals] == [
            "lora",
            "lora_small",
            "traditional",
        ]
        assert all(rival.endswith("): worse") for rival in rivals)

    def test_what_to_know_before_is_said(self, page: Node) -> None:
        caveats = page.one(class_="caveats").text
        assert "Only 16 test examples" in caveats
        assert "Each method was tried at one learning rate only" in caveats
        assert (
            "lead-3, which trains nothing, cannot be told apart from full in ROUGE-1: " in caveats
        )

    def test_a_comparison_says_what_is_shown_of_its_first(self, page: Node) -> None:
        rows = {
            metric: {
                (cells[0], cells[1]): cells
                for row in page.one("section", id="figures").all("tr")
                if row.all("th", data_value=metric)
                for cells in [[cell.text for cell in row.all("td")]]
            }
            for metric in ("nll", "rouge1")
        }
        verdicts = {pair: cells[-1] for pair, cells in rows["nll"].items()}
        assert len(verdicts) == 10  # the base, which has an NLL, and four methods
        assert verdicts["lora", "lora_small"] == "equivalent"
        assert verdicts["lora", "full"] == "worse"
        assert verdicts["zero-shot", "lora"] == "worse"
        assert verdicts["traditional", "lora"] == "worse"
        assert {cells[-2] for cells in rows["nll"].values()} == {"0.358"}  # the margin
        assert len(rows["rouge1"]) == 15  # lead-3 too
        assert rows["rouge1"]["lead-3", "full"][-1] == "undecided"

    def test_a_pair_of_which_nothing_is_said_says_why(self, tmp_path: Path) -> None:
        def few(results: Results) -> Results:
            why = "lora has fewer than 3 seeds"
            return replace(
                results,
                comparisons=tuple(
                    replace(c, verdict="undecided", why=why, low=None, high=None)
                    if "lora" in (c.a, c.b)
                    else c
                    for c in results.comparisons
                ),
            )

        copy_of("four", tmp_path, few)
        write_report(tmp_path)
        found = [
            [cell.text for cell in row.all("td")]
            for row in parse(tmp_path).one("section", id="figures").all("tr")
            if row.all("th", data_value="nll")
        ]
        cells = next(c for c in found if set(c[:2]) == {"lora", "full"})
        assert cells[3:6] == ["–", "–", "–"]
        assert cells[-1] == "undecided: lora has fewer than 3 seeds"

    def test_the_table_of_comparisons_says_how_it_is_corrected(self, page: Node) -> None:
        (caption,) = [
            c.text for c in page.one("section", id="figures").all("caption")
            if "First minus second" in c.text
        ]  # fmt: skip
        assert "corrected step by step (Holm)" in caption
        assert "Low and high are at alpha / K for K pairs (Bonferroni)" in caption
        assert "recommended as the best where one of its pairs reads undecided" in caption


class TestTable:
    def test_every_method_and_baseline_has_a_row_with_intervals(
        self, page: Node, results: Results
    ) -> None:
        found = table(page)
        assert list(found) == BY_LOSS
        nll, rouge = (results.methods["lora"].test[key] for key in ("nll", "rouge1"))
        assert None not in (nll.low, nll.high, rouge.low, rouge.high)
        assert found["lora"]["Test NLL"].text == f"{nll.mean:.3f}{nll.low:.3f} to {nll.high:.3f}"
        assert rouge.low is not None and rouge.high is not None
        assert found["lora"]["ROUGE-1"].text == (
            f"{100 * rouge.mean:.1f}{100 * rouge.low:.1f} to {100 * rouge.high:.1f}undecided"
        )
        assert found["lead-3"]["Test NLL"].text == "–"
        for name, cells in found.items():
            for metric in ("ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"):
                assert " to " in cells[metric].one("small").text, (name, metric)

    def test_best_and_cheapest_are_marked(self, page: Node) -> None:
        found = table(page)
        marked = {
            (name, column): cell.one("em").text
            for name, cells in found.items()
            for column, cell in cells.items()
            if cell.all("em")
        }
        assert marked["full", "Test NLL"] == "best"
        assert marked["full", "ROUGE-1"] == "best"
        assert marked["lora", "ROUGE-1"] == "undecided"
        assert ("lora", "Test NLL") not in marked
        for column in ("Trainable parameters", "Adapter"):
            assert marked["lora_small", column] == "least"
        for column in ("Longest epoch", "Mean epoch", "Peak memory", "Latency"):
            assert [m for (_, c), m in marked.items() if c == column] == ["least"]
        ahead = {(name, column) for (name, column), mark in marked.items() if mark == "ahead"}
        assert {name for name, _ in ahead} == {"lead-3"}
        assert ("lead-3", "ROUGE-2") in ahead and ("lead-3", "Test NLL") not in ahead
        assert not any(name == "zero-shot" for name, _ in marked)
        assert tags(page)["lora_small"] == ["smallest adapter"]
        assert tags(page)["lead-3"] == ["not trained"]

    def test_the_costs_are_written_with_their_units(self, page: Node, results: Results) -> None:
        cells = {k: cell.text for k, cell in table(page)["traditional"].items()}
        cost = results.methods["traditional"].cost
        assert cost.epoch_seconds is not None
        assert cells["Trainable parameters"] == "262,144"
        assert cells["Longest epoch"].startswith(shown_seconds(cost.epoch_seconds.max))
        assert cells["Peak memory"].startswith(shown_bytes(cost.peak_memory_bytes))
        assert cells["Adapter"].startswith("1.00 MiB")


class TestFigures:
    def test_every_written_figure_stands_in_the_page_with_words_for_it(
        self, page: Node, complete: Path
    ) -> None:
        plots = page.all("figure", class_="plot")
        assert len(plots) == len(list((complete / "figures").glob("*.svg")))
        for plot in plots:
            for svg in plot.all("svg"):
                assert svg.attrs["role"] == "img"
                assert len(svg.attrs["aria-label"]) > 20
            assert plot.one("figcaption").one("b").text

    def test_learning_curves_show_every_candidate_and_epoch(self, page: Node) -> None:
        (plot,) = (
            p for p in page.all("figure") if p.one("figcaption").one("b").text == "Learning curves"
        )
        tips = [e.attrs["data-tip"] for e in plot.walk() if "data-tip" in e.attrs]
        for name in METHODS:
            for seed in (0, 1, 2):
                for epoch in (1, 2, 3):
                    rate = RATES[name]
                    start = f"{name}, rate {rate}, seed {seed}, epoch {epoch}: validation "
                    assert sum(tip.startswith(start) for tip in tips) == 1

    def test_ids_are_unique_and_all_that_is_pointed_at_exists(self, any_page: Node) -> None:
        ids = [e.attrs["id"] for e in any_page.walk() if "id" in e.attrs]
        assert len(ids) == len(set(ids))
        for element in any_page.walk():
            for key, value in element.attrs.items():
                if key in ("clip-path", "fill") and value.startswith("url(#"):
                    assert value[5:-1] in ids
                if key in ("aria-labelledby", "href") and not value.startswith("data:"):
                    assert value.removeprefix("#") in ids


class TestExamples:
    def test_every_row_and_summary_stands_in_the_page(self, page: Node, complete: Path) -> None:
        head, rows = browser(page)
        assert head["names"] == [*METHODS, "zero_shot", "lead"]
        given = [json.loads(x) for x in (complete / "examples.jsonl").read_text().splitlines()]
        results = read_results(complete)
        shown = representative(results, "lora", results.methods["lora"].candidates)
        path = complete / "candidates" / str(shown) / "predictions.jsonl"
        lora = [json.loads(line) for line in path.read_text().splitlines()]
        assert sorted(index for index, *_ in head["rows"]) == list(range(16))
        assert head["metric"] == {
            "title": "ROUGE-1", "unit": "× 100", "factor": 100.0, "digits": 1,
        }  # fmt: skip
        for (index, _, scores), row in zip(head["rows"], rows, strict=True):
            document, is_cut, reference, written = row
            assert [document, reference] == [given[index]["document"], given[index]["reference"]]
            assert not is_cut
            assert written[1] == lora[index]["prediction"]
            assert scores[1] == pytest.approx(lora[index]["rouge1"], abs=1e-4)

    def test_the_widest_spread_of_the_methods_comes_first(self, page: Node) -> None:
        head, _ = browser(page)
        spreads = [spread for _, spread, _ in head["rows"]]
        assert spreads == sorted(spreads, reverse=True)
        _, spread, scores = head["rows"][0]
        assert spread == pytest.approx(max(scores[:4]) - min(scores[:4]), abs=2e-4)

    def test_every_column_has_a_box_to_show_and_hide_it(self, page: Node) -> None:
        boxes = page.one("form", id="tools").all("input", type="checkbox")
        assert [box.attrs["data-column"] for box in boxes] == list("012345")


class TestPartial:
    def test_it_says_what_is_missing(self, cut_off: Node) -> None:
        assert cut_off.one("h1").one(class_="tag").text == "partial"
        assert cut_off.one(class_="headline").text.startswith(
            "Undecided: the best baseline, zero-shot, reaches a test NLL of 5.554 nats per token; "
            "full reaches 1.648, but lead-3 is ahead in ROUGE-1 (31.9 against 28.7), "
        )
        told = cut_off.one(class_="answer").text
        assert "The study was cut off" in told
        assert "lora is not finished." in told
        assert "lora_small is not started." in told
        assert "traditional failed: no memory left, even at one row." in told
        assert "lora and lora_small have not finished; so far full has the lowest test NLL" in told

    def test_missing_figures_are_dashes_and_states_are_tags(self, cut_off: Node) -> None:
        found = table(cut_off)
        assert list(found) == ["full", "zero-shot", "traditional", "lora", "lora_small", "lead-3"]
        missing = ("Test NLL", "ROUGE-1", "Longest epoch", "Mean epoch")
        assert {found["traditional"][column].text for column in missing} == {"–"}
        assert tags(cut_off)["traditional"] == ["failed"]
        assert tags(cut_off)["lora"] == ["not finished"]
        assert tags(cut_off)["lora_small"] == ["not started"]
        assert " to " in found["full"]["Test NLL"].text

    def test_torn_predictions_are_noted_and_the_rest_is_shown(self, cut_off: Node) -> None:
        notes = cut_off.one(class_="notes").text
        place = "candidates/full-lr0.001-s1/predictions.jsonl"
        assert f"{place}: 1 unreadable line left out" in notes
        head, rows = browser(cut_off)
        assert len(head["rows"]) == len(rows) == 16

    def test_no_comparisons_are_claimed(self, cut_off: Node) -> None:
        assert cut_off.text.count("Every paired comparison") == 0
        marks = [em.text for em in cut_off.one("table", class_="main").all("em")]
        assert not marks
