"""A run of claims from studies to files; what is trained is stubbed, the rest is real."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.api.claims import _made_data, run_claims
from bakeoff.claims.bases import facts_of
from bakeoff.claims.contract import SIZES
from bakeoff.claims.latency import adapter_times, merged_times
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.measuring import Context
from bakeoff.claims.planning import plan_studies, why_untestable
from bakeoff.claims.reading import BLOCKS, losses_of
from bakeoff.claims.registry import claims_named
from bakeoff.claims.weights import _changed, energies, rank_share, weight_ranks
from bakeoff.runs.arrays import arrays_bytes

FULL = SIZES["full"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _made_data(tmp_path_factory.mktemp("claims"), SIZES["quick"])


def test_equal_entrants_of_several_claims_are_trained_once(data: Any) -> None:
    chosen = claims_named(("update_is_low_rank", "full_rank_lora_is_full", "tuning_forgets"))
    [study] = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    assert list(study.mapping["methods"]) == ["full", "lora_8", "lora_32", "lora_width"]
    assert list(study.mapping["also_test"]) == ["corpus"]
    assert sum(map(study.share, chosen)) == pytest.approx(1.0)


def test_another_number_of_rows_is_another_study_with_as_many_updates(data: Any) -> None:
    chosen = claims_named(("soft_beats_discrete",))
    studies = plan_studies(chosen, [NOMINAL], NOMINAL, FULL, data)
    counts = {
        s.mapping["task"]["examples"]["train"]: s.mapping["protocol"]["epochs"] for s in studies
    }
    assert counts == {2048: 3, 16: 48, 64: 48, 256: 24}
    assert "few_shot" in str(studies[0].mapping["baselines"])
    assert len(studies[0].mapping["also_test"]) == 8


def test_what_cannot_be_tested_says_what_it_takes(data: Any) -> None:
    scale = claims_named(("scale_closes_gap",))["scale_closes_gap"]
    assert "at least three" in why_untestable(scale, [NOMINAL], NOMINAL, FULL, data)
    assert not why_untestable(scale, [NOMINAL] * 3, NOMINAL, FULL, data)
    shift = claims_named(("prompts_resist_shift",))["prompts_resist_shift"]
    own = replace(data, desks=None)
    assert "without --data" in why_untestable(shift, [NOMINAL], NOMINAL, FULL, own)


def test_held_out_desks_are_in_no_training_row(data: Any, tmp_path: Path) -> None:
    source, shifted = data.desks
    words = {"jury", "verdict", "telescope", "species"}
    seen = [json.loads(line)["article"] for line in Path(shifted).read_text().splitlines()]
    assert len(seen) == SIZES["quick"].test_rows
    train = Path(source["train"]).read_text()
    assert not set(seen) & {json.loads(line)["article"] for line in train.splitlines()}
    assert any(word in " ".join(seen) for word in words)


def test_losses_are_sums_over_sums_with_each_block_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sums = np.stack([rng.uniform(10, 20, 45), rng.integers(3, 9, 45)], axis=1)
    (tmp_path / "test.npz").write_bytes(arrays_bytes({"nll": sums}))
    whole, without = losses_of(tmp_path / "test.npz")
    assert whole == pytest.approx(sums[:, 0].sum() / sums[:, 1].sum())
    kept = np.delete(sums, [3, 23, 43], axis=0).sum(axis=0)
    assert without[3] == pytest.approx(kept[0] / kept[1])
    assert without.shape == (BLOCKS,)


def test_the_rank_by_energy_is_that_of_a_matrix_made_so() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(40, 3, generator=generator) @ torch.randn(3, 60, generator=generator)
    assert rank_share(energies(low)) <= 3 / 40
    assert rank_share(energies(torch.eye(40))) == pytest.approx(0.9)


def test_subtracting_in_bfloat16_does_not_give_the_base_back() -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    update = 0.1 * torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    assert _changed(weight, torch.zeros(64, 64), torch.bfloat16) == 0
    assert _changed(weight, update, torch.bfloat16) > 400
    assert _changed(weight, torch.full((64, 64), 2.0**60), torch.float32) == 64 * 64


def test_times_and_outputs_are_measured_on_the_shipped_base() -> None:
    size = replace(SIZES["quick"], rounds=2)
    context = Context(facts=facts_of("tiny"), device="cpu", size=size)
    found: Mapping[str, Any] = {**adapter_times(context), **merged_times(context)}
    assert {len(value) for value in found.values()} == {2}
    assert all((value > 0).all() for name, value in found.items() if "output" not in name)
    assert found["output_float32"].max() < 1e-4 < found["output_bfloat16"].min()


def test_a_claim_about_weights_needs_no_training(tmp_path: Path) -> None:
    found = run_claims(["weights_are_low_rank", "scale_closes_gap"], quick=True, out=tmp_path)
    one = found.claims["weights_are_low_rank"]
    assert one["verdict"] == "contradicted"
    assert one["low"] > one["margin"] == 0.25
    kept = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert list(kept) == ["weights_are_low_rank", "scale_closes_gap"]
    assert kept["scale_closes_gap"]["verdict"] == "untestable"
    assert {"verdict", "effect", "low", "high", "margin", "seeds", "seconds"} <= set(
        kept["weights_are_low_rank"]
    )
    page = (tmp_path / "claims.html").read_text()
    assert page.index("<table") < page.index("Does not show")
    assert "1 contradicted, 1 untestable" in page
    context = Context(facts=facts_of("tiny"), device="cpu", size=SIZES["quick"])
    assert one["effect"] == pytest.approx(weight_ranks(context)["weight_rank"].mean())
