"""What a cluster holds, for ``bakeoff status --address``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bakeoff.execution.ray.cluster import ACTOR_PREFIX, connected
from bakeoff.execution.ray.options import RayOptions
from bakeoff.runs.workers import workers_in_words, workers_of

_ANSWERS_WITHIN: Final = 5.0


def listed(address: str) -> dict[str, Any]:
    """Nodes with what they have, and the workers of all studies with what they do.

    Of a run whose folder is seen from here there is besides what its driver last wrote.

    Raises:
        ConfigError: nothing answers at the address.
    """
    with connected(RayOptions(address=address)) as cluster:
        nodes = []
        for node in cluster.ray.nodes():
            has = {
                key: value
                for key, value in node["Resources"].items()
                if key in ("CPU", "GPU") or ":" not in key
            }
            shown = ", ".join(
                f"{key} {value:g}" for key, value in sorted(has.items()) if key in ("CPU", "GPU")
            )
            state = "alive" if node["Alive"] else "gone"
            nodes.append({"host": node["NodeManagerHostname"], "text": f"{state}, {shown}"})
        from ray.util import list_named_actors

        # Without the cluster's dashboard Ray tells of actors with a name alone, as ours have there.
        workers = [
            {
                "name": actor["name"],
                "state": f"alive, in {actor['namespace']}",
                **_doing(cluster.ray, actor),
            }
            for actor in list_named_actors(all_namespaces=True)
            if actor["name"].startswith(ACTOR_PREFIX)
        ]
        return {"nodes": nodes, "workers": workers, "runs": runs_of(workers)}


def _doing(ray: Any, actor: dict[str, str]) -> dict[str, Any]:
    """What an actor says of itself; nothing where it does not answer."""
    try:
        handle = ray.get_actor(actor["name"], namespace=actor["namespace"])
        found: dict[str, Any] = ray.get(handle.doing.remote(), timeout=_ANSWERS_WITHIN)
    except Exception as error:  # it has just ended, or is of an older version
        return {"why": type(error).__name__}
    return found


def runs_of(workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What drivers last wrote of the runs that workers are of, where it is seen from here."""
    found = []
    for run in sorted({str(one["run"]) for one in workers if one.get("run")}):
        content = workers_of(Path(run))
        found.append({"run": run, "lines": [] if content is None else workers_in_words(content)})
    return found


def in_words(worker: dict[str, Any]) -> str:
    """What a worker does, in a line."""
    if not worker.get("run"):
        return f"{worker['name']}: {worker['state']}"
    doing = str(worker.get("job") or "no job")
    if worker.get("epoch"):
        doing += (
            f", epoch {worker['epoch']}, step {worker.get('step')} of {worker.get('num_steps')}"
        )
    return f"{worker['name']}: {doing}; {worker['run']}"
