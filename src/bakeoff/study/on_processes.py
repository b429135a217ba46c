"""A study's jobs in processes of this machine: ``bakeoff run --executor processes``.

A pass through a narrow base is many small steps of Python between small products, of which threads
of one process take turns. Processes do not: on two cores two of them train the embedded base 1.1 to
3 times as fast as one with two threads (``docs/decisions/0058-processes-for-narrow-bases.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from bakeoff.base.compiled import decoder_layers
from bakeoff.base.devices import kind_of
from bakeoff.base.model import Base
from bakeoff.engine.backends.worker_threads import WIDEST
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.compiling import goes_through_layers, training_flops
from bakeoff.engine.slots import SATURATING_TOKENS
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ConfigError
from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.workshop import Workshop
from bakeoff.execution.executors import Elsewhere, Executor
from bakeoff.execution.processes.child import serve
from bakeoff.execution.processes.host import ProcessHost
from bakeoff.memory import available_bytes, keep_freed, settled_bytes
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.log import LOGGER, follow_log, open_log
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.measuring import register_again, registered_by, registered_here
from bakeoff.study.on_actors import actor_executor, cohorts_of
from bakeoff.study.stages import Stages
from bakeoff.study.workers import Settled, opened, settled_by

_LEAST_SECONDS: Final = 30.0
"""Of a study's training, by estimate, from which on processes are worth their start, which takes
some ten seconds."""
_SECONDS_A_LAYER: Final = 0.008
"""Of a narrow base in a pass forward and backward, however few its tokens; and"""
_FLOPS_A_SECOND: Final = 1e11
"""what a token takes besides: from the table of ``docs/decisions/0058-processes-for-narrow-bases``
for one process."""
_BYTES_A_LAYER: Final = 17 * 4
"""Of a position, for each of the layer's width: see ``engine/slots.py``, in float32."""
_COMMAND: Final = "from bakeoff.study.on_processes import main; main()"


class OnProcesses:
    """Runs a study's jobs in processes of this machine.

    Args:
        options: how. forecast: bytes that the study is forecast to take in one process, with its
            base; None where that is not known.
    """

    is_part = False
    trains_here = False

    def __init__(self, options: ExecutionOptions, forecast: int | None = None) -> None:
        self._options, self._forecast = options, forecast
        self._open = ExitStack()

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """See ``ElsewherePlan``."""

    def prepare(self, folder: RunFolder, events: EventLog) -> None:
        """See ``ElsewherePlan``."""

    def executor(self, stages: Stages, local: Executor) -> Elsewhere:
        """See ``ElsewherePlan``.

        Raises:
            ConfigError: the base is on a GPU, or a script itself has registered what is used.
        """
        bench, device = stages.bench, kind_of(stages.bench.base.device)
        if device != "cpu":
            raise ConfigError(
                "execution.executor: processes are for processors, and the base is on "
                f"{device}; give --device cpu, or --executor ray: it has one for each GPU"
            )
        registered = registered_by(stages.study)
        if own := registered_here(registered):
            raise ConfigError(
                f"execution.executor: the {own[0]} was registered by a script or a notebook "
                "itself, which other processes cannot import; move it into a module that registers "
                "it, and import that, or give executor: local"
            )
        workers = self._workers(stages)
        here = torch.get_num_threads()
        each = 1 if is_narrow(bench.base) else max(1, here // workers)
        stages.events.threads = dict.fromkeys(ProcessHost.kinds, each)
        folder = stages.recall.folder
        settled = settled_by(bench)
        host = ProcessHost(
            workers=workers,
            command=_COMMAND,
            opening={
                "study": stages.study.resolved,
                "run": str(folder.path.resolve()),
                "root": str(stages.study.root.resolve()),
                "settled": asdict(settled),
                "registered": registered,
                "log": None if (log := open_log()) is None else str(log),
                "log_level": LOGGER.getEffectiveLevel(),
            },
        )
        checks = Checks()
        self._open.enter_context(checks.shown_in(folder.path.resolve()))
        stages.view.say(
            f"  [cyan]processes[/] {workers} of {each} thread{'s' * (each > 1)} each run the jobs"
        )
        found = actor_executor(
            stages, local, host, checks, threads=each, lost_after=self._options.lost_after
        )
        self._open.callback(found.close)
        return found

    def trained(self, stages: Stages, executor: Elsewhere, *, cut_short: bool = False) -> None:
        """See ``ElsewherePlan``."""

    def close(self) -> None:
        """See ``ElsewherePlan``."""
        self._open.close()

    def _workers(self, stages: Stages) -> int:
        """How many at most: one for each thread of this process, as far as memory reaches."""
        if isinstance(self._options.workers, int):
            return self._options.workers
        return max(1, min(torch.get_num_threads(), room_for(stages.bench, self._forecast)))


def is_narrow(base: Base) -> bool:
    """Whether a base's passes make little of several threads, so that each process has one."""
    return base.width <= WIDEST


def pays_in_processes(bench: Workbench, candidates: Sequence[Candidate]) -> bool:
    """Whether a study would be over sooner in processes, if memory has room for them.

    Args:
        bench: the study's. candidates: those that it begins with.
    """
    cores = torch.get_num_threads()
    return (
        kind_of(bench.base.device) == "cpu"
        and is_narrow(bench.base)
        and cores > 1
        and cohorts_of(bench, candidates) >= cores
        and _training_seconds(bench, candidates) >= _LEAST_SECONDS
    )


def _training_seconds(bench: Workbench, candidates: Sequence[Candidate]) -> float:
    """Of one process, roughly; where settings are searched, as if all went to the last epoch."""
    candidates = [one for one in candidates if goes_through_layers(one.method)]
    protocol, layers = bench.protocol, len(decoder_layers(bench.base))
    passes = bench.plans["train"].num_steps * protocol.grad_accum_steps * protocol.epochs
    fixed = cohorts_of(bench, candidates) * passes * layers * _SECONDS_A_LAYER
    return fixed + len(candidates) * training_flops(bench) / _FLOPS_A_SECOND


def room_for(bench: Workbench, forecast: int | None) -> int:
    """Processes that the memory holds by a rough estimate, on the side of too few.

    Args:
        bench, forecast: see ``OnProcesses``.
    """
    layers = int(getattr(bench.base.config, "num_hidden_layers", 1))
    activations = SATURATING_TOKENS["cpu"] * layers * bench.base.width * _BYTES_A_LAYER
    each = 2 * settled_bytes() + max(activations, forecast or 0)
    return int(available_bytes() // each)


def main() -> None:
    """The life of one process."""
    keep_freed()  # as the command line does

    def opened_from(given: Mapping[str, Any]) -> Workshop:
        if given["log"] is not None:
            # The driver logs a candidate's end, once it has accepted it.
            follow_log(Path(given["log"]), given["log_level"], leaving_out="_ended")
        register_again(given)
        settled = Settled(**given["settled"])
        return opened(given["study"], given["run"], given["root"], settled)

    serve(opened_from)
