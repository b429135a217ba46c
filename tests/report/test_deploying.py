"""Where each method's adapter can run."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from bakeoff.report.deploying import where_it_runs
from bakeoff.runs.records import ExternalRecord
from tests.golden_folders import golden


@pytest.mark.parametrize(
    ("form", "place"),
    [("adapter", "PEFT"), ("checkpoint", "Transformers"), ("predictions", "its answers alone")],
)
def test_what_was_made_elsewhere_runs_where_its_form_does(
    form: Literal["adapter", "checkpoint", "predictions"], place: str
) -> None:
    lora = golden("four").methods["lora"]
    found = where_it_runs(replace(lora, kind="external", external=ExternalRecord(form=form)))
    assert place in found and "bakeoff serve" not in found


def test_what_is_of_a_package_that_is_not_here_says_so() -> None:
    lora = golden("four").methods["lora"]
    assert "package that brings other" in where_it_runs(replace(lora, kind="other"))
    assert "vLLM" in where_it_runs(lora)
