"""A training job that runs again for one of its candidates; a shard of one has all jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bakeoff.execution.apart.exchange import check_files
from bakeoff.execution.apart.found import outcomes_in
from bakeoff.types import RunState
from tests.execution.apart.test_shards import results_of, write
from tests.studies import Outcome, without_times

Cli = Callable[..., Outcome]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.soak
def test_a_job_runs_again_for_the_one_whose_adapter_is_damaged(
    place: Path, cli: Cli, trained: list[str]
) -> None:
    study = write(place, slots=3, protocol={"epochs": 1, "seeds": [0, 1, 2]})
    shard = ("run", study, "--shard", "1/1", "--out", "part")
    assert cli(*shard).code == 0
    first, second, third = trained
    adapter = min((place / f"part/candidates/{second}/adapter").glob("*.safetensors"))
    adapter.write_bytes(b"damaged")
    before = results_of(place / "part")
    found = cli(*shard)
    assert found.code == 0, found.err
    assert trained == [first, second, third, second]
    assert not [n for n in results_of(place / "part")["notes"] if "from the start" in n]
    kept = results_of(place / "part")["candidates"]
    for name in (first, third):
        assert without_times(kept[name]) == without_times(before["candidates"][name])
    # What the job left is whole for who joins it.
    [outcome] = [one for one in outcomes_in(place / "part") if one.job.kind == "train"]
    check_files(place / "part", outcome.files)
    assert {record.state for record in outcome.records} == {RunState.COMPLETE}
    assert all(f"candidates/{name}/adapter/{adapter.name}" in outcome.files for name in trained)
