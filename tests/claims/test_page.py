"""The page of verdicts: bases by name, what was measured first, and no link to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.claims.contract import SIZES, Values
from bakeoff.claims.estimates import Evidence, Reach
from bakeoff.claims.figures import effect_figure
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.page import build_page
from bakeoff.claims.planning import ClaimData
from bakeoff.claims.registry import claims_named
from bakeoff.claims.rules import judge_family
from bakeoff.claims.running import curves_of
from bakeoff.claims.suite import Failures, Found, Suite

SCALE, FORGETS = "scale_closes_gap", "tuning_forgets"
AROUND = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


def nothing_is_run(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
    raise AssertionError("a page runs no study")


def page(out: Path, **studies: list[str]) -> str:
    claims = claims_named((FORGETS, SCALE))  # the later one was run first
    bases = [
        replace(NOMINAL, reference=name, parameters=count)
        for name, count in (("wire-0.3m", 360_000), ("tiny", 1_120_000), ("made/mine", 3_400_000))
    ]
    scale: Values = {
        "log_parameters": np.log10([base.parameters for base in bases]),
        **{f"{i}/zero_shot": np.array(3.0) for i in range(3)},
        **{f"{i}/full": 2.0 + AROUND for i in range(3)},
        **{f"{i}/soft": 2.6 - i / 10 - AROUND for i in range(3)},
    }
    forgets: Values = {
        **{"forget:zero_shot": np.array(3.0), "forget:zero_shot@corpus": np.array(1.0)},
        **{"forget:full": 2.0 + AROUND, "forget:full@corpus": 1.12 + AROUND},
        **{"forget:lora_8": 2.0 - AROUND, "forget:lora_8@corpus": 1.1 - AROUND},
    }
    evidence = {
        SCALE: Evidence(values=scale),
        FORGETS: Evidence(values=forgets, notes=("Seed 3 is left out.",)),
    }
    suite = Suite(
        claims=claims,
        facts=bases,
        main=bases[1],
        size=SIZES["full"],
        data=ClaimData(task={}, protocol={}),
        device="cpu",
        out=out,
        run_study=nothing_is_run,
    )
    findings = judge_family({name: (claims[name], one) for name, one in evidence.items()})
    found = Found(
        findings=findings,
        evidence=evidence,
        seconds={SCALE: 1.0, FORGETS: 3600.0},
        studies=studies,
        planned={SCALE: None, FORGETS: Reach(effect=0.04)},
        curves={
            name: curves_of(suite, name, one, findings[name], Failures())
            for name, one in evidence.items()
        },
    )
    return build_page(suite, found).replace("<wbr>", "")


def test_claims_come_in_the_order_of_the_list(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert text.index(f'<h3 id="{SCALE}"') < text.index(f'<h3 id="{FORGETS}"')
    assert text.index(f'href="#{SCALE}"') < text.index(f'href="#{FORGETS}"')
    assert "undecided where full tuning gains nothing on some base, and otherwise." in text


def test_a_claim_about_several_bases_names_them(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "wire-0.3m (360), tiny" not in text
    assert text.count("wire-0.3m (360 k), tiny (1.12 M) and made/mine (3.4") >= 2
    assert "base, by its parameters wire-0.3m" in text
    assert "e+05" not in text


def test_the_measured_smallest_effect_comes_before_the_planned_one(tmp_path: Path) -> None:
    text = page(tmp_path)
    part = text[text.index(f'<h3 id="{FORGETS}"') :]
    assert part.index("by what was measured here") < part.index("<b>Planned</b>")
    assert "assumed before anything was measured" in part
    assert "what, is not known" in text[: text.index(f'<h3 id="{FORGETS}"')]


def test_notes_and_what_is_short_of_the_margin_are_shown(tmp_path: Path) -> None:
    text = page(tmp_path)
    part = text[text.index(f'<h3 id="{FORGETS}"') :]
    heading = part[: part.index("</h3>")]
    assert "contradicted (in the claimed direction, but less than the margin)" in heading
    assert "Seed 3 is left out." in part


def test_one_repeat_has_no_interval(tmp_path: Path) -> None:
    """Of one value there is no error: what is drawn must not look certain."""
    claim = claims_named((FORGETS,))[FORGETS]
    values: Values = {
        **{"forget:zero_shot": np.array(3.0), "forget:zero_shot@corpus": np.array(1.0)},
        **{"forget:full": np.array([2.0]), "forget:full@corpus": np.array([1.2])},
        **{"forget:lora_8": np.array([2.0]), "forget:lora_8@corpus": np.array([1.1])},
    }
    finding = judge_family({FORGETS: (claim, Evidence(values=values))})[FORGETS]
    assert "With one of the seeds nothing is decided" in finding.why
    figure = effect_figure(claim, finding, "effect")
    assert figure is not None and "(" not in figure.alt and " to " not in figure.alt
    assert "interval" not in figure.caption


def test_a_study_without_a_report_has_no_link(tmp_path: Path) -> None:
    (tmp_path / "studies" / "done").mkdir(parents=True)
    (tmp_path / "studies" / "done" / "report.html").touch()
    text = page(tmp_path, **{SCALE: ["done", "missing"]})
    assert 'href="studies/done/report.html"' in text
    assert "missing" in text
    assert "studies/missing/report.html" not in text


def test_the_column_of_times_is_sorted_by_seconds(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert (
        '<td data-value="1.0">1.0 s</td>' in text
        and '<td data-value="3600.0">60.0 min</td>' in text
    )
