"""What a reader of the results must know of a study's search."""

from __future__ import annotations

from bakeoff.execution.findings import Findings
from bakeoff.study.options import Study
from bakeoff.types import RunState


def search_notes(study: Study, findings: Findings) -> list[str]:
    """What a reader must know of the search: grids that grew, answers at an edge."""
    search = findings.schedule.search
    if search is None:
        return []
    notes = []
    sizes = {name: method.num_first for name, method in findings.schedule.methods.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        notes.append(f"the methods were not searched alike, as the study asks for: {listed}")
    notes += unused_settings(study)
    for name, method in findings.schedule.methods.items():
        if method.num_grown:
            notes.append(
                f"{name}: the grid of learning rates grew by {method.num_grown} in search of the "
                f"best rate (at most {search.growth})"
            )
        failed = [c for c in method.searched if c.state is RunState.FAILED]
        if failed:
            notes.append(
                f"{name}: {len(failed)} of {len(method.searched)} rates failed and took no part in "
                f"the choice; {failed[0].learning_rate:g}: {failed[0].reason}"
            )
        if method.chosen is not None and len(method.rates) > 1 and method.is_at_edge():
            notes.append(
                f"{name}: the chosen rate {method.chosen.learning_rate:g} is still at the edge "
                f"of its grid, which may grow by {search.growth}; raise search.growth to look "
                "further"
            )
    return notes


def unused_settings(study: Study) -> list[str]:
    """What to say of settings that a study names, but a search does not use."""
    search = study.options.search
    if search is None:
        return []
    notes = []
    for entry in study.entries:
        where, default = f"methods.{entry.name}", entry.spec.default_learning_rate
        if entry.rates is None and entry.learning_rate != default:
            instead = (
                f"the search centres on the method's published default {default:g}; a list of "
                "rates is a grid of one's own"
                if "learning_rate" not in search.space
                else "search.space.learning_rate is searched"
            )
            notes.append(
                f"{where}.learning_rate: {entry.learning_rate:g} is not used, as {instead}"
            )
        notes += [
            f"{where}.{key}: {value!r} is not used, as search.space.{key} is searched"
            for key, value in entry.given.items()
            if key in search.space and key not in entry.listed
        ]
    return notes
