"""A renamed key: its former name works wherever a study is written, but not beside the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.config.former_names import present_overrides, with_present_names
from bakeoff.errors import ConfigError
from bakeoff.report.paper.protocol import protocol_text
from bakeoff.runs.reading import read_results
from bakeoff.study.loading import study_from_mapping

GOLDEN = Path(__file__).parents[1] / "golden" / "four"
_METHODS = {"lora": {"kind": "lora", "learning_rate": 1e-3}}


def _norm(protocol: dict[str, Any], *overrides: str) -> float | None:
    mapping = {
        "name": "norms",
        "base": "tiny",
        "task": {"source": "wire"},
        "methods": _METHODS,
        "protocol": protocol,
    }
    study = study_from_mapping(mapping, overrides, folder=Path())
    assert "clip_norm" not in study.resolved["protocol"]
    return study.options.protocol.max_grad_norm


def test_the_former_name_is_the_present_setting() -> None:
    assert _norm({"clip_norm": 0.25}) == _norm({"max_grad_norm": 0.25}) == 0.25


@pytest.mark.parametrize("key", ["clip_norm", "max_grad_norm"])
@pytest.mark.parametrize("override", ["clip_norm", "max_grad_norm"])
def test_an_override_by_either_name_replaces_either(key: str, override: str) -> None:
    assert _norm({key: 0.25}, f"protocol.{override}=0.5") == 0.5


def test_both_names_in_one_file_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"protocol\.clip_norm: protocol\.max_grad_norm is given"):
        _norm({"clip_norm": 0.25, "max_grad_norm": 0.25})


def test_a_searched_setting_is_renamed_too() -> None:
    space = {"lora": {"clip_norm": [0.5, 1.0], "rank": [2, 4]}}
    found = with_present_names({"search": {"trials": 4, "space": space}})
    assert found["search"]["space"] == {"lora": {"max_grad_norm": [0.5, 1.0], "rank": [2, 4]}}


def test_other_overrides_stay_as_they_are() -> None:
    others = ["methods.clip_norm=null", "protocol.epochs=2", "name=clip_norm", "protocol"]
    assert present_overrides(others) == others


def test_the_paragraph_of_earlier_results_names_their_clipping() -> None:
    assert "clip_norm" in (GOLDEN / "results.json").read_text(encoding="utf-8")
    assert "clipped at a norm of 1" in protocol_text("four", read_results(GOLDEN))
