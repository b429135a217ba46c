"""Studies on two nodes, one of which goes away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from bakeoff.execution.apart.news import News
from bakeoff.execution.apart.remote_worker import RemoteWorker
from tests.execution.apart.test_shards import METHODS, results_of, write
from tests.object_store import object_store
from tests.studies import Outcome, without_times

Cli = Callable[..., Outcome]
pytestmark = pytest.mark.soak


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a folder, or of a bucket of a store whose server the workers ask as well."""
    if request.param == "file":
        yield f"file://{tmp_path}/far"
        return
    with object_store() as bucket:
        yield f"{bucket}/runs"


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A head and one node more, with one core each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    found.add_node(num_cpus=1)
    before = signal.getsignal(signal.SIGTERM)
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    signal.signal(signal.SIGTERM, before)  # which Ray has taken
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.mark.usefixtures("quick")
def test_two_nodes_find_what_one_process_finds_also_where_one_is_removed(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, nodes: Any
) -> None:
    study = write(
        place, methods=METHODS, slots=2, protocol={"epochs": 4, "seeds": [0, 1, 2], "patience": 9}
    )
    assert cli("run", study, "--out", "whole").code == 0
    assert cli("run", study, "--executor", "ray", "--out", "both").code == 0
    removed: list[Any] = []
    hear = RemoteWorker.hear

    def removing(self: RemoteWorker, answer: tuple[int, list[dict[str, Any]]]) -> list[News]:
        news = hear(self, answer)
        if not removed and any(one.kind == "epoch" for one in news):
            removed.extend(nodes.worker_nodes)
            nodes.remove_node(removed[0], allow_graceful=False)
        return news

    monkeypatch.setattr(RemoteWorker, "hear", removing)
    assert cli("run", study, "--executor", "ray", "--out", "one").code == 0
    assert removed
    whole = without_times(results_of(place / "whole"))
    assert without_times(results_of(place / "both")) == whole
    assert without_times(results_of(place / "one")) == whole


@pytest.mark.usefixtures("quick")
def test_workers_that_do_not_see_the_folder_leave_what_they_make_at_an_address(
    place: Path, cli: Cli, address: str, nodes: Any
) -> None:
    study = write(place, methods=METHODS, slots=2, protocol={"epochs": 2, "seeds": [0, 1, 2]})
    assert cli("run", study, "--out", "whole").code == 0
    far = f"execution.files={address}"
    found = cli("run", study, "--executor", "ray", "--out", "ray", "--set", far)
    assert found.code == 0, found.err
    whole = without_times(results_of(place / "whole"))
    apart = without_times(results_of(place / "ray"))
    for results in (whole, apart):
        del results["study"]["execution"]
    assert apart == whole
    system, folder = fsspec.core.url_to_fs(address)
    system.invalidate_cache()
    assert not [file for file in system.find(folder) if "attempt" in str(file)]
