"""What a reader of the results must know of a study's search and of its training's end."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bakeoff.engine.options import ProtocolOptions
from bakeoff.execution.findings import Findings
from bakeoff.formatting import join
from bakeoff.runs.records import MethodRecord
from bakeoff.search.method_search import MethodSearch
from bakeoff.search.options import SearchOptions
from bakeoff.search.selection import rank_correlation, shortlist
from bakeoff.study.study import Study
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
        if (note := _selection_note(name, method)) is not None:
            notes.append(note)
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


def _selection_note(name: str, method: MethodSearch) -> str | None:
    """How a setting was chosen where not by NLL alone, and whether the two agree."""
    selection = None if method.space is None else method.space.selection
    if selection is None or method.chosen is None:
        return None
    among = shortlist(method.records, selection)
    agreement = rank_correlation(method.records, selection)
    which = "settings" if selection.among is None else "best settings by validation NLL"
    found = (
        "which too few have for a rank correlation with the NLL"
        if agreement is None
        else f"whose rank correlation with the NLL is {agreement:.2f}"
    )
    return (
        f"{name}: among the {len(among)} {which} the one with the best {selection.metric} on "
        f"{selection.rows} validation rows was chosen, {found}"
    )


def convergence_notes(
    protocol: ProtocolOptions, search: SearchOptions | None, methods: Mapping[str, MethodRecord]
) -> list[str]:
    """What the number of epochs may hide: who still gained, and whom it may overtake.

    Args:
        protocol: the study's. search: how is searched, or None. methods: with ``converged``.
    """
    if protocol.decays:
        if search is not None and "epochs" in search.space:
            return []
        return [
            f"the learning rate falls to zero over {protocol.epochs} epochs, so nothing says "
            "whether more of them would help; search.space.epochs tries several"
        ]
    means = {name: m.validation["nll"].mean for name, m in methods.items() if "nll" in m.validation}
    notes = []
    for name, method in methods.items():
        if method.converged is not False:
            continue
        ahead = [other for other, mean in means.items() if mean < means.get(name, -math.inf)]
        what = (
            f"with more epochs it may overtake {join(ahead)}"
            if ahead
            else "with more epochs it may be further ahead"
        )
        notes.append(
            f"{name} was still improving when its training ended: its validation NLL fell by more "
            f"than a tenth of the margin in the last epoch; {what} (bakeoff run --set "
            f"protocol.epochs={2 * protocol.epochs} goes on)"
        )
    return notes


def unused_settings(study: Study) -> list[str]:
    """What to say of settings that a study names, but a search does not use."""
    search = study.options.search
    if search is None:
        return []
    notes = []
    for entry in study.entries:
        where = f"methods.{entry.name}"
        is_default = entry.learning_rate == entry.spec.default_learning_rate
        if entry.rates is None and "learning_rate" in search.space and not is_default:
            notes.append(
                f"{where}.learning_rate: {entry.learning_rate:g} is not used, as "
                "search.space.learning_rate is searched"
            )
        notes += [
            f"{where}.{key}: {value!r} is not used, as search.space.{key} is searched"
            for key, value in entry.given.items()
            if key in search.space and key not in entry.listed
        ]
    return notes
