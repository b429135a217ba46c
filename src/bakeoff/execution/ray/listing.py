"""What a cluster holds, for ``bakeoff status --address``."""

from __future__ import annotations

from typing import Any

from bakeoff.execution.ray.cluster import ACTOR_PREFIX, connected
from bakeoff.execution.ray.options import RayOptions


def listed(address: str) -> dict[str, Any]:
    """Nodes with what they have, and the workers of all studies.

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
            {"name": actor["name"], "state": f"alive, in {actor['namespace']}"}
            for actor in list_named_actors(all_namespaces=True)
            if actor["name"].startswith(ACTOR_PREFIX)
        ]
        return {"nodes": nodes, "workers": workers}
