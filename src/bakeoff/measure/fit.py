"""Whether a study fits into memory, and the changes with which it would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bakeoff.base.choice import BaseChoice
from bakeoff.base.sizes import model_bytes
from bakeoff.engine.backends.memory import free_bytes
from bakeoff.engine.slots import SATURATING_TOKENS
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import BakeoffError
from bakeoff.formatting import shown_bytes
from bakeoff.measure.forecasts import margin
from bakeoff.measure.needs import Need, neighbours_of, recomputing_of, unjoined
from bakeoff.measure.quantizing import over_quantized
from bakeoff.measure.remedies import Fitting, fitting_of, remedies_of
from bakeoff.measure.traced import Predictor, most_demanding
from bakeoff.methods.contract import ExecutionPath, Method
from bakeoff.search.groups import kind_apart
from bakeoff.search.schedule import StudySchedule

_PLACES: Final = {"cpu": "this machine", "cuda": "the GPU"}
_MARGIN: Final = 4
_STATE_BYTES: Final = 64
_LAYER_NUMBERS: Final = 64
_NEVER: Final = (
    "a smaller base: no method of this study fits, however small its batches are and in however "
    "few bits the base is held"
)


class DoesNotFitError(BakeoffError, MemoryError):
    """A study that needs more memory than there is."""


def needs_of(bench: Workbench, predictor: Predictor, schedule: StudySchedule) -> list[Need]:
    """What each method needs, with as many candidates in a pass as the study would seat.

    A method that cannot be traced is left out and named in ``predictor.untraced``: what it needs is
    not known, and that does not stop the study.
    """
    found = []
    by_group: dict[tuple[ExecutionPath, str, BaseChoice], int] = {}
    groups: dict[str, tuple[ExecutionPath, str, BaseChoice]] = {}
    candidates = schedule.candidates
    for entry in bench.entries:
        label, method = most_demanding(bench, entry)
        group = _group(method)
        here = [c for c in candidates if _group(c.method) == group]
        if group not in by_group:
            by_group[group] = bench.num_slots(here)
        protocols = [bench.protocol.under(variant.searched) for variant in entry.variants]
        rows = max(protocol.micro_batch_size for protocol in protocols)
        most = max(bench.rows_of_pass(here, by_group[group], one) for one in protocols)
        try:
            alone = predictor.training(entry, label, rows, study=bench)
            joined = predictor.training(entry, label, most, study=bench) if most > rows else None
        except Exception as error:  # a library may ask its tensors for values, or swap them
            predictor.untraced[entry.name] = f"{type(error).__name__}: {error}"
            continue
        found.append(
            Need(
                entry=entry,
                label=label,
                alone=alone,
                slots=by_group[group],
                other_bases=predictor.all_bytes - alone.base_bytes,
                joined=joined,
            )
        )
        groups[entry.name] = group
    return [
        replace(need, neighbour_bytes=_neighbour_bytes(need, found, groups, schedule, predictor))
        for need in found
    ]


def _neighbour_bytes(
    need: Need,
    needs: Sequence[Need],
    groups: Mapping[str, tuple[ExecutionPath, str, BaseChoice]],
    schedule: StudySchedule,
    predictor: Predictor,
) -> int:
    """See ``neighbours_of``: the most that any pass of the method's has."""
    name = need.entry.name
    sharing = {one.entry.name: one for one in needs if groups[one.entry.name] == groups[name]}
    most = 0
    for count in (None, len(schedule.seeds)):  # of the first round, and of the chosen settings
        queue = [
            other
            for other, method in schedule.methods.items()
            if other in sharing
            for _ in range(count or len(method.candidates))
        ]
        for start in range(0, len(queue), need.slots):
            seated = dict.fromkeys(queue[start : start + need.slots])
            if name in seated:
                together = [sharing[other] for other in seated]
                found = neighbours_of(together, is_eager=predictor.gpu is None)
                most = max(most, found[name])
    return most


def _group(method: Method) -> tuple[ExecutionPath, str, BaseChoice]:
    return method.execution_path, kind_apart(method), method.base.choice


def available_for(bench: Workbench, predictor: Predictor) -> int:
    """Memory for a whole study on the bench's device: its bases are there already and count.

    On a CPU, where one byte too many ends the process, without a margin for the forecast's error.
    """
    free = free_bytes(bench.base.device)
    if bench.base.device.type == "cpu":
        free = int(free * (1.0 - margin()))
    return free + predictor.all_bytes


def surely_fits(bench: Workbench, available: int) -> bool:
    """Whether so much memory is free that nothing need be traced.

    A bound far above what any method takes: four times the states, and more than every number
    that a layer makes.
    """
    base, protocol = bench.base, bench.protocol
    layers = int(getattr(base.config, "num_hidden_layers", 1))
    most = 0
    for variants in bench.methods.values():
        for method in variants.values():
            length = bench.task.max_length + method.extra_positions
            tokens = protocol.micro_batch_size * length
            if bench.engine.join_micro_batches:
                most_joined = min(protocol.rows_per_step * length, SATURATING_TOKENS["cuda"])
                tokens = max(tokens, most_joined)
            numbers = tokens * (layers * base.width * _LAYER_NUMBERS + base.vocabulary)
            most = max(most, _STATE_BYTES * method.num_trainable + 4 * numbers)
    wanted = bench.slots
    slots = bench.useful_slots() if wanted == "auto" else wanted
    return (
        _MARGIN * (len(bench.held_bases) * model_bytes(base.source.model) + slots * most)
        < available
    )


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether a study fits.

    Attributes:
        methods: with what each method fits alone, by name.
        remedies: the changes with which all of it would, the smallest first; none where it fits.
    """

    methods: Mapping[str, Fitting]
    remedies: tuple[str, ...]


def fit_of(bench: Workbench, predictor: Predictor, needs: Sequence[Need], available: int) -> Fit:
    """Says of each method with what it fits, and what would make the whole study fit.

    Fewer slots change nothing that is learned and come first; for the others see ``remedies``.
    """
    if any(need.bases_bytes > available for need in needs):
        found = {
            need.entry.name: Fitting(
                name=need.entry.name, micro_batch_size=need.alone.rows, rows=None
            )
            for need in needs
        }
    else:
        found = {
            need.entry.name: fitting_of(
                bench, predictor, need.entry, need.label, need.alone, available - need.other_bases
            )
            for need in needs
        }
    over = [need for need in needs if need.bytes > available]
    if not over:
        return Fit(methods=found, remedies=())
    slots = min(need.fitting_slots(available) for need in over)
    if slots >= 1:
        fewer = f"fewer candidates in one pass: --set slots={slots}"
        return Fit(methods=found, remedies=(fewer,))
    found = _with_quantized(bench, predictor, needs, available, found)
    seats_several = any(need.slots > 1 for need in needs)
    changes = remedies_of(bench, list(found.values()), seats_several=seats_several)
    return Fit(methods=found, remedies=tuple(changes) or (_NEVER,))


def _with_quantized(
    bench: Workbench,
    predictor: Predictor,
    needs: Sequence[Need],
    available: int,
    found: Mapping[str, Fitting],
) -> dict[str, Fitting]:
    """Says of each method besides how it fits over the study's base in fewer bits."""
    # On a CPU what the base no longer takes is free memory, of which a part is not counted on.
    not_counted = margin() if predictor.gpu is None else 0.0
    quantized = over_quantized(bench, predictor, needs, available, not_counted)
    return {
        need.entry.name: replace(
            found[need.entry.name],
            quantized=quantized.get(need.entry.name),
            needs_whole_base=bool(need.entry.spec.whole_base),
        )
        for need in needs
    }


def remedy(
    bench: Workbench, predictor: Predictor, needs: Sequence[Need], available: int
) -> str | None:
    """The smallest change with which every method fits, as text; None where all fit."""
    return next(iter(fit_of(bench, predictor, needs, available).remedies), None)


def refuse(
    needs: Sequence[Need], available: int, changes: Sequence[str], place: str
) -> DoesNotFitError:
    """The error of a study that cannot fit."""
    most = max(needs, key=lambda need: need.bytes)
    seated = "" if most.slots == 1 else f" with {most.slots} candidates in one pass"
    left = f" beyond a margin of {margin():.0%}" if place == _PLACES["cpu"] else ""
    return DoesNotFitError(
        f"methods.{most.entry.name}: needs about {shown_bytes(most.bytes)}{seated}, but {place} "
        f"has {shown_bytes(available)} free{left}. What would fit: {'; or '.join(changes)}. Or go "
        "on all the same with --force"
    )


def fitted(
    bench: Workbench, predictor: Predictor, schedule: StudySchedule, available: int
) -> tuple[Workbench, list[Need], Fit]:
    """The study as it is to run, what its methods need, and whether they fit.

    Micro-batches are joined where the study asks for it and all of it fits so. Activations are
    computed again where that is left open and the study fits in no other way.
    """
    needs = needs_of(bench, predictor, schedule)
    is_over = any(need.bytes > available for need in needs)
    if is_over and any(need.joined is not None for need in needs):
        bench = unjoined(bench)
        needs = needs_of(bench, predictor, schedule)
        is_over = any(need.bytes > available for need in needs)
    if is_over and bench.engine.gradient_checkpointing == "auto":
        # Before any remedy is looked for: each is traced.
        changed = recomputing_of(bench)
        less = needs_of(changed, predictor, schedule)
        if all(need.bytes <= available for need in less):
            return changed, less, fit_of(changed, predictor, less, available)
    return bench, needs, fit_of(bench, predictor, needs, available)


def check_fit(bench: Workbench, schedule: StudySchedule) -> tuple[Workbench, int | None]:
    """Refuses a study that cannot fit into the memory that is free, before anything is trained.

    Returns:
        The study as it is to run, see ``fitted``; and the bytes that it is forecast to take, its
        bases included: None where there is so much room that nothing was traced.

    Raises:
        DoesNotFitError: naming the changes with which it would fit, the smallest first.
    """
    if surely_fits(bench, free_bytes(bench.base.device)):
        return bench, None
    predictor = Predictor(bench)
    available = available_for(bench, predictor)
    found, needs, fit = fitted(bench, predictor, schedule, available)
    if fit.remedies:
        raise refuse(needs, available, fit.remedies, _PLACES[bench.base.device.type])
    return found, max((need.bytes for need in needs), default=None)
