"""The page: what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bakeoff.decide.choice import recommend

from bakeoff.formatting import shown_bytes, shown_seconds
from bakeoff.runs.records import Results
from tests.golden_folders import golden
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
    def test_the_best_is_named_with_what_it_beats(self, page: Node) -> None:
        headline = page.one(class_="headline")
        assert headline.one("strong").text == "Use full"
        assert "it beats the other 3 methods and the untuned base beyond chance" in headline.text
        assert tags(page)["full"] == ["recommended"]

    def test_a_tie_is_said_as_a_tie(self, within: Node) -> None:
        headline = within.one(class_="headline")
        assert headline.one("strong").text == "Use lora_small"
        assert "it ties with lora, is the cheaper to keep and beats the untuned" in headline.text
        why = within.one(class_="why").text
        assert "lora_small ties with lora, whose test NLL is the lowest of those within" in why
        assert "ties" in tags(within)["lora"]

    def test_limits_and_what_misses_them_are_said(self, within: Node) -> None:
        assert within.one(class_="limits").text == "Limits: adapter size at most 977 KiB."
        outside = [li.text for li in within.one(class_="outside").all("li")]
        assert outside[1].startswith("full: adapter size 4.40 MiB, over 977 KiB")

    def test_the_answer_names_its_price(self, page: Node, results: Results) -> None:
        cost = results.methods["full"].cost
        assert cost.epoch_seconds is not None
        assert page.one(class_="headline").text.endswith(
            f"it costs {shown_seconds(cost.epoch_seconds.mean)} per epoch, "
            f"{shown_bytes(cost.peak_memory_bytes)} of memory and "
            f"{shown_bytes(cost.adapter_bytes)} to keep."
        )
        facts = {f.one("dt").text: f.one("b").text for f in page.one(class_="facts").all("div")}
        assert facts["Trainable parameters"] == "1,119,488"
        assert list(facts)[:2] == ["Test NLL, nats per token", "ROUGE-1 × 100"]

    def test_the_answer_says_how_sure_it_is_and_what_would_change_it(
        self, within: Node, results: Results
    ) -> None:
        assert "at the 95\u00a0% level" in within.one(class_="why").text
        assert "corrected (Holm) for the 10 pairs compared" in within.one(class_="why").text
        given = recommend(results, ONE_MEGABYTE)
        changes = [li.text for li in within.one(class_="changes").all("li")]
        assert changes == list(given.changes)
        assert changes[0].startswith("Without the limits full would be recommended")
        (rival,) = [li.text for li in within.one(class_="rivals").all("li")]
        (runner_up,) = given.runners_up
        sign = "\u2212" if runner_up.difference < 0 else "+"
        assert rival.startswith(f"lora {sign}{abs(runner_up.difference):.3f} nats per token (")
        assert rival.endswith("), a tie")

    def test_a_rival_that_is_behind_is_no_tie(self, page: Node) -> None:
        rivals = [li.text for li in page.one(class_="rivals").all("li")]
        assert [rival.partition(" ")[0] for rival in rivals] == [
            "lora",
            "lora_small",
            "traditional",
        ]
        assert not [rival for rival in rivals if rival.endswith("tie")]

    def test_what_to_know_before_is_said(self, page: Node) -> None:
        caveats = page.one(class_="caveats").text
        assert "Only 16 test examples" in caveats
        assert "One learning rate per method, the study's own" in caveats
        assert "lead-3, which trains nothing, has the higher ROUGE-1: " in caveats

    def test_a_comparison_says_tie_or_the_winners_name(self, page: Node) -> None:
        rows = [
            [cell.text for cell in row.all("td")]
            for row in page.one("section", id="figures").all("tr")
            if row.all("th", data_value="nll")
        ]
        verdicts = {(cells[0], cells[1]): cells[-1] for cells in rows}
        assert len(verdicts) == 10
        assert verdicts["lora", "lora_small"] == "tie"
        assert verdicts["lora", "full"] == "full"
        assert verdicts["traditional", "lora"] == "lora"


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
            f"{100 * rouge.mean:.1f}{100 * rouge.low:.1f} to {100 * rouge.high:.1f}tie"
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
        assert marked["lora", "ROUGE-1"] == "tie"
        assert ("lora", "Test NLL") not in marked
        for column in ("Trainable parameters", "Adapter"):
            assert marked["lora_small", column] == "least"
        for column in ("Longest epoch", "Mean epoch", "Peak memory", "Latency"):
            assert [m for (_, c), m in marked.items() if c == column] == ["least"]
        assert not {name for name, _ in marked} & {"zero-shot", "lead-3"}
        assert tags(page)["lora_small"] == ["cheapest"]
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
            for seed in (0, 1):
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
        path = complete / "candidates" / "lora-lr0.005-s0" / "predictions.jsonl"
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
        assert cut_off.one(class_="headline").text == "No recommendation"
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
        place = "candidates/full-lr0.001-s0/predictions.jsonl"
        assert f"{place}: 1 unreadable line left out" in notes
        head, rows = browser(cut_off)
        assert len(head["rows"]) == len(rows) == 16

    def test_no_comparisons_are_claimed(self, cut_off: Node) -> None:
        assert cut_off.text.count("Every paired comparison") == 0
        marks = [em.text for em in cut_off.one("table", class_="main").all("em")]
        assert not marks
