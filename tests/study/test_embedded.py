"""Tokens that a base's tokenizer has and its embedding has not, as text-only Gemma 3's for images.

A text that spells one is refused where it becomes tokens; everything else works.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config, scratch_model
from bakeoff.errors import ConfigError, DataError
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench
from tests.studies import CITIES
from tests.waiting import LONGEST

if TYPE_CHECKING:
    from bakeoff.engine.workbench import Workbench
    from bakeoff.serve.running import Server

IMAGE = "<image>"
Small = Callable[..., dict[str, Any]]
FAULT = r"the token '<image>' \(257\) is none of the 257 that the base embeds"


@pytest.fixture
def place(place: Path) -> Path:
    """With two bases of one tokenizer: ``wide`` embeds all of its tokens, ``narrow`` but one."""
    tokenizer = byte_tokenizer(256)
    tokenizer.add_tokens([IMAGE], special_tokens=True)
    for name, rows in (("wide", 258), ("narrow", 257)):
        config = scratch_config("scratch:tiny-gpt-neo")
        config.vocab_size = rows
        with silence_libraries():
            scratch_model(config).save_pretrained(place / name)
            tokenizer.save_pretrained(place / name)
    return place


def opened(place: Path, study: dict[str, Any]) -> Workbench:
    return open_workbench(study_from_mapping(study, folder=place), "cpu")


def test_a_template_with_such_a_token_is_refused_also_from_kept_data(
    place: Path, small: Small
) -> None:
    task = {"template": f"{IMAGE}{{document}}\n{{summary}}"}
    wide = opened(place, small(base="wide", task=task))
    assert int(wide.data.splits["train"].tokens.values.max()) == 257
    with pytest.raises(DataError, match=rf"task: train row 1: {FAULT}; take it out of the temp"):
        opened(place, small(base="narrow", task=task))


def test_in_a_further_test_set_it_is_refused_by_the_set(place: Path, small: Small) -> None:
    set_ = {"source": "rows", "template": f"{IMAGE}{{document}}\n{{summary}}"}
    with pytest.raises(DataError, match=rf"also_test.other row \d+: {FAULT}"):
        opened(place, small(base="narrow", also_test={"other": set_}))


def test_rows_that_spell_it_are_plain_text(place: Path, small: Small) -> None:
    for file in (place / "rows").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        rows = [{**row, "text": f"{IMAGE} {row['text']}"} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    bench = opened(place, small(base="narrow"))
    assert int(np.max(bench.data.splits["train"].tokens.values)) < 257


@pytest.mark.parametrize(
    "method",
    [
        {"kind": "soft_prompt", "prompt_length": 3, "init": f"Look at {IMAGE}"},
        {"kind": "soft_prompt", "prompt_length": 3, "init": {"labels": ["good", IMAGE]}},
        {"kind": "prefix", "prefix_length": 3, "init": f"Look at {IMAGE}"},
    ],
)
def test_a_prompt_does_not_start_from_it(place: Path, small: Small, method: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"methods.x.init.*{FAULT}; leave it out"):
        opened(place, small(base="narrow", methods={"x": method}))


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    from bakeoff.serve.options import ServeOptions
    from bakeoff.serve.running import Server

    options = ServeOptions(base="narrow", port=0, device="cpu", max_positions=64, max_seats=2)
    with Server(options) as running:
        yield running


def test_a_request_that_spells_it_is_refused(server: Server) -> None:
    def asked(path: str, **body: Any) -> httpx.Response:
        body = {"model": "zero_shot", **body}
        return httpx.post(f"{server.address}{path}", json=body, timeout=LONGEST)

    text = f"The fair of {CITIES[0]}"
    for given in (f"{text} {IMAGE}", [5, 257]):
        refused = asked("/v1/completions", prompt=given, max_tokens=2)
        assert refused.status_code == 400, refused.text
        assert "257" in refused.json()["error"]["message"]
    assert asked("/v1/completions", prompt=text, max_tokens=2).status_code == 200
    scored = asked("/v1/score", prompt=text, choices=[" a", IMAGE])
    assert scored.status_code == 200, scored.text  # a choice is plain text
