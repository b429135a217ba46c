"""Every entry of ``references.bib`` is whole, and the text cites each of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.methods.registry import method_kinds, spec_of
from bakeoff.report.load import load_run
from bakeoff.report.paper.bibliography import bibliography, cited, references_in
from bakeoff.report.paper.document import latex_text
from bakeoff.runs.records import Results
from tests.golden_folders import copy_of, golden

METRICS = ("bleu", "chrf", "exact_match", "f1", "macro_f1", "mcc", "brier")


def entries(text: str) -> dict[str, dict[str, str]]:
    found = {}
    for match in re.finditer(r"@\w+\{([^,]+),\n(.*?)\n\}\n", text, re.DOTALL):
        found[match[1]] = dict(re.findall(r"  (\w+) = \{(.*)\},?", match[2]))
    return found


def with_everything(results: Results) -> Results:
    """The study with every method, every metric that has a paper, and a search."""
    method = results.methods["lora"]
    kinds = {kind: replace(method, kind=kind) for kind in method_kinds()}
    primary = results.task.metrics[0]
    metrics = [replace(primary, name=name, title=name, primary=False) for name in METRICS]
    harness = replace(metrics[0], name="gsm8k", title="gsm8k", signature="lm-evaluation-harness 1")
    search = {"strategy": "random", "pruner": "halving"}
    return replace(
        results,
        methods=results.methods | kinds,
        task=replace(results.task, metrics=(*results.task.metrics, *metrics, harness)),
        study={**results.study, "search": search},
    )


@pytest.mark.parametrize("is_all", [False, True])
def test_every_entry_has_its_title_authors_and_year(is_all: bool) -> None:
    results = with_everything(golden("four")) if is_all else golden("four")
    found = entries(bibliography(results))
    keys = {key for several in cited(results).values() for key in several}
    assert set(found) == keys and len(keys) > (25 if is_all else 8)
    for key, fields in found.items():
        assert {"author", "title", "year"} <= set(fields), key
        assert re.fullmatch(r"(19|20)\d\d", fields["year"]), key
        assert not fields["title"].startswith("{arXiv"), key
        assert {"booktitle", "journal", "eprint", "url", "note"} & set(fields), key
    assert found["satterthwaite1946"]["journal"] == "Biometrics Bulletin"
    assert "Hu, Edward J." in found["hu2021-2106.09685"]["author"]
    if is_all:
        assert found["opitz2019"]["title"] == "{Macro F1 and Macro F1}"


def test_every_paper_of_a_method_is_known() -> None:
    for kind in method_kinds():
        for entry in references_in(spec_of(kind, where=kind).paper):
            assert entry.author and "others" not in entry.author, kind
            assert entry.venue or entry.arxiv or entry.url, kind


def test_what_the_text_cites_is_there_and_all_that_is_there_is_cited(tmp_path: Path) -> None:
    copy_of("four", tmp_path, None)
    text = latex_text(load_run(tmp_path), [])
    keys = {key for group in re.findall(r"\\cite\{([^}]*)\}", text) for key in group.split(",")}
    assert keys == set(entries(bibliography(golden("four"))))


def test_a_paper_of_another_package_is_cited_as_far_as_it_says() -> None:
    [found] = references_in("Doe et al. 2031, arXiv:3101.00001")
    assert (found.author, found.year) == ("{Doe} and others", "2031")
    assert found.title == "arXiv:3101.00001"
