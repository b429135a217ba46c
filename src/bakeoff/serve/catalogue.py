"""Runs and adapters as models by name. A name is a key of this catalogue and never a path."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import torch

from bakeoff.base.choice import BaseChoice
from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.base.weights.sources import folder_named, load_source
from bakeoff.decide.representative import representative
from bakeoff.decide.verdicts import ZERO_SHOT
from bakeoff.errors import ConfigError
from bakeoff.files import cache_folder
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.entries import CROSSED
from bakeoff.serve.options import ServeOptions
from bakeoff.serve.peft_folder import peft_method
from bakeoff.serve.served import Asking, Served
from bakeoff.study.opening import choice_of

_LOG = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")


@dataclass
class Catalogue:
    """Everything that a server knows.

    Attributes:
        models: by name. bases: by lane. runs: by the study's name.
        folders: that bases were read from, by lane; those that have names of their own have none.
    """

    models: dict[str, Served] = field(default_factory=dict)
    bases: dict[str, Base] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    runs: dict[str, FinishedRun] = field(default_factory=dict)

    def add(self, model: Served) -> None:
        """One more model.

        Raises:
            ConfigError: there is one of that name.
        """
        if model.name in self.models:
            raise ConfigError(f"two models are called {model.name!r}; give one another name")
        self.models[model.name] = model


def open_catalogue(options: ServeOptions) -> Catalogue:
    """Loads the bases, and looks through the runs and adapters without loading them.

    Raises:
        BakeoffError: something cannot be served.
    """
    catalogue = Catalogue()
    shared: dict[tuple[object, ...], str] = {}
    for folder in options.runs:
        run = _opened(folder, options)
        study = _study_name(run, catalogue)
        prefix = f"{study}/" if len(options.runs) > 1 else ""
        for behind, part in _parts(run, options):
            catalogue.runs[f"{study}{behind}"] = part

            def lane_of(choice: BaseChoice, run: FinishedRun = part) -> str:
                return _lane_of(run, choice, catalogue, shared)

            for model in _of_run(part, f"{study}{behind}", lane_of, prefix, behind):
                catalogue.add(model)
    given = None if options.base is None else _add_base(options.base, options, catalogue)
    _add_adapters(options, catalogue, given)
    return catalogue


def _parts(run: FinishedRun, options: ServeOptions) -> Iterator[tuple[str, FinishedRun]]:
    """The cells of a crossed study with what follows names of theirs; else the run itself."""
    crossing, factors = run.study.crossing, run.results.factors
    if crossing is None or factors is None:
        yield "", run
        return
    for label, cell in factors.cells.items():
        if cell.status != "waiting":
            yield f"{CROSSED}{label}", _with_precision(run.cell(label), options)


def _opened(folder: Path, options: ServeOptions) -> FinishedRun:
    run = FinishedRun(folder, options.device, trust_remote_code=options.trust_remote_code)
    if run.caution is not None:
        _LOG.warning("%s", run.caution)
    return _with_precision(run, options)


def _with_precision(run: FinishedRun, options: ServeOptions) -> FinishedRun:
    if options.precision is not None:
        changed = replace(run.study.options, precision=options.precision)
        run.study = replace(run.study, options=changed)
    return run


def _study_name(run: FinishedRun, catalogue: Catalogue) -> str:
    for name in (run.study.options.name, run.path.resolve().name):
        if _NAME.fullmatch(name) and name not in catalogue.runs:
            return name
    raise ConfigError(
        f"{run.path}: another study of the name {run.study.options.name!r} is served, and its "
        "folder has the same name; rename one of the folders"
    )


def _lane_of(
    run: FinishedRun,
    choice: BaseChoice,
    catalogue: Catalogue,
    shared: dict[tuple[object, ...], str],
) -> str:
    """The lane of one of the run's bases, which studies over the same one share."""
    options = run.study.options
    known = options.base in ("tiny", "smollm2-135m")
    root = None if known else str(run.study.root)
    # With the code beside it a base may be another model of the same weights.
    trusts = options.trust_remote_code
    key = (options.base, options.revision, options.precision, choice, root, trusts)
    if key not in shared:
        shared[key] = f"base{len(shared)}"
        catalogue.bases[shared[key]] = run.base_of(choice)
        if (folder := folder_named(options.base, run.study.root)) is not None:
            catalogue.folders[shared[key]] = folder
    else:
        run.share(catalogue.bases[shared[key]], choice)
    return shared[key]


def _of_run(
    run: FinishedRun, study: str, lane_of: Callable[[BaseChoice], str], prefix: str, behind: str
) -> Iterator[Served]:
    lane = lane_of(choice_of(run.study))
    asking = Asking(run.base, run.task, run.study.options.generation)
    yield _untuned(f"{prefix}{ZERO_SHOT}{behind}", study, lane, asking)
    root = run.path.resolve()
    kept = {
        name
        for name, record in run.results.candidates.items()
        if record.state.is_eligible
        and (folder := root / "candidates" / name / "adapter").is_dir()
        and folder.resolve().is_relative_to(root)
    }
    for name in run.results.methods:
        chosen = representative(run.results, name, kept)
        if chosen is not None:
            # Before its method is made, which is for the very base of the lane.
            own = lane_of(run.choice(chosen))
            yield _of_kept(run.candidate(chosen), f"{prefix}{name}", study, own, asking)


def _untuned(name: str, study: str, lane: str, asking: Asking) -> Served:
    nothing: Tensors = {}
    return Served(
        name=name,
        kind=ZERO_SHOT,
        title="the untuned base",
        study=study,
        lane=lane,
        asking=asking,
        loader=lambda: (None, nothing),
    )


def _of_kept(kept: Kept, name: str, study: str, lane: str, asking: Asking) -> Served:
    def load() -> tuple[Method | None, Tensors]:
        # Of a copy, so that what a method remembers leaves memory with its adapter.
        method = copy.copy(kept.method)
        return method, replace(kept, method=method).load()

    return _made(kept.method, name, study, lane, asking, load, kept.id)


def _made(
    method: Method,
    name: str,
    study: str,
    lane: str,
    asking: Asking,
    load: object,
    candidate: str | None,
) -> Served:
    has_own_base = method.execution_path is ExecutionPath.OWN_BASE
    return Served(
        name=name,
        kind=method.kind,
        title=method.title,
        study=study,
        lane=lane,
        asking=asking,
        loader=load,  # type: ignore[arg-type]
        extra_positions=method.extra_positions,
        candidate=candidate,
        has_own_base=has_own_base,
        parameters=method.num_trainable,
        least_bytes=method.base.num_bytes if has_own_base else 4 * method.num_trainable,
    )


def _place_of(lane: str, catalogue: Catalogue) -> str:
    """Where a base is from, however a study spells it."""
    return str(catalogue.folders.get(lane, catalogue.bases[lane].source.reference))


def _add_base(given: str, options: ServeOptions, catalogue: Catalogue) -> str:
    """The lane of ``--base``: one of the runs', or a new one, a model of its own without a run."""
    wanted = str(folder_named(given, Path.cwd()) or given)
    # The first lane of a base is the study's own; others hold it in fewer bits.
    for lane in catalogue.bases:
        if _place_of(lane, catalogue) == wanted:
            return lane
    source = load_source(given, root=Path.cwd(), cache_dir=cache_folder())
    place = choose_device(options.device)
    if place.index is not None:
        torch.cuda.set_device(place)
    precision = options.precision or "auto"
    base = Base(source, device=place, dtype=choose_dtype(precision, place))
    lane = f"base{len(catalogue.bases)}"
    catalogue.bases[lane] = base
    if not options.runs:
        catalogue.add(_untuned(ZERO_SHOT, "", lane, Asking(base, None, None)))
    return lane


def _add_adapters(options: ServeOptions, catalogue: Catalogue, given: str | None) -> None:
    if not options.adapters:
        return
    lanes: dict[str, str] = {}
    for name in catalogue.bases:
        lanes.setdefault(_place_of(name, catalogue), name)
    if len(lanes) > 1 and given is None:
        raise ConfigError(
            f"--adapter: the runs have several bases, {', '.join(lanes)}; say with --base which "
            "of them the adapters are for"
        )
    lane = next(iter(lanes.values())) if given is None else given
    base = catalogue.bases[lane]
    # An adapter is asked as the study asks, where only one is served over its base.
    alike = {m.study: m.asking for m in catalogue.models.values() if m.lane == lane and m.study}
    study, asking = next(iter(alike.items())) if len(alike) == 1 else ("", Asking(base, None, None))
    for name, folder in options.adapters.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"--adapter {name!r}: a name has letters, digits, dots, colons, dashes and "
                "underscores, and begins with a letter or digit"
            )
        method = peft_method(name, folder, base)

        def load(method: Method = method, folder: Path = folder) -> tuple[Method | None, Tensors]:
            return method, method.load(folder)

        catalogue.add(_made(method, name, study, lane, asking, load, None))
