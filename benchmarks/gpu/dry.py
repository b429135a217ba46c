"""A campaign without a card: the tests' device of shapes, and what only the stages ask of it.

Everything here replaces a card's driver or a value; what the stages and the engine do is
their own code. All that is taken from the tests' tool is imported here and nowhere else.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gpu.table import ROOT

_STARTED = "BAKEOFF_CAMPAIGN_GUARDED"
_TOTAL_BYTES = 80 << 30
_FOLLOWED = frozenset({"plan", "study", "small_card"})


def with_guard() -> None:
    """Starts this process again, once, with the library that lets autograd accept the device."""
    if os.environ.get(_STARTED):
        return
    sys.path.insert(0, str(ROOT))
    guard = importlib.import_module("tests.fake_cuda.guard")
    environment: dict[str, str] = guard.environment()
    sys.stdout.flush()
    os.execve(sys.executable, sys.orig_argv, environment | {_STARTED: "1"})


@contextlib.contextmanager
def fake_card(stage: str) -> Iterator[None]:
    """In a stage's process: inside, CUDA tensors have shapes and no values.

    Args:
        stage: its name; only some follow what is in memory, which takes time.
    """
    sys.path.insert(0, str(ROOT))
    bridge: Any = importlib.import_module("tests.fake_cuda.bridge")
    device: Any = importlib.import_module("tests.fake_cuda.device")
    watch: Any = importlib.import_module("tests.fake_cuda.watch")
    bridge.prepare()
    _install_card(watch)
    _install_compiler()
    _install_loading(device.real)
    _install_rivals()
    _install_storing(device.real)
    _install_measuring()
    follows = stage.partition("/")[0] in _FOLLOWED
    # Inside of the fakes, as an operation that fails must not be followed.
    with _limited_memory(), device.fake_device(memory=follows), _made_on_the_host():
        yield


def _install_card(watch: Any) -> None:
    """What the stages ask of the driver, which the engine does not."""
    import torch

    record = watch.RECORD
    properties = SimpleNamespace(
        name="a card of shapes",
        major=9,
        minor=0,
        multi_processor_count=132,
        total_memory=_TOTAL_BYTES,
    )

    def reset_peak(*arguments: object) -> None:
        record.peak_bytes = record.live_bytes

    def set_sync_debug_mode(mode: str) -> None:
        watch._mode.may_wait = mode != "error"

    cuda: Any = torch.cuda
    cuda.Event = _Event
    cuda.get_device_properties = lambda *a: properties
    cuda.set_per_process_memory_fraction = lambda *a: None
    cuda.memory_snapshot = lambda *a: []
    cuda.max_memory_reserved = lambda *a: record.peak_bytes
    cuda.reset_peak_memory_stats = reset_peak
    cuda.set_sync_debug_mode = set_sync_debug_mode


class _Event:
    """A mark in a stream, by the host's clock."""

    def __init__(self, **settings: Any) -> None:
        self._at = 0.0

    def record(self, *arguments: Any) -> None:
        self._at = time.perf_counter()

    def elapsed_time(self, end: _Event) -> float:
        return (end._at - self._at) * 1e3


def _install_compiler() -> None:
    """Compiled code needs real kernels: what is to be compiled runs as it is written."""
    import torch

    module: Any = torch.nn.Module
    module.compile = lambda self, *a, **k: None
    compiler: Any = torch
    compiler.compile = lambda model=None, **k: model


def _install_loading(real: Any) -> None:
    """Bases are loaded with values, on the host, and not probed: a probe compares values."""
    import torch

    from bakeoff.base.model import Base
    from bakeoff.base.weights import folder, lean
    from bakeoff.base.weights.sources import load_source
    from bakeoff.study import opening
    from engines import large_bases, ours

    def loaded(*arguments: Any, **settings: Any) -> Any:
        with real():
            return load_source(*arguments, **settings)

    for place in (ours, opening):
        vars(place)["load_source"] = loaded
    for place in (folder, lean):
        vars(place)["require_causal"] = lambda *a: None
    made = large_bases.make_base

    def made_on_the_host(path: Path, config: Any, device: Any) -> None:
        with real():
            made(path, config, torch.device("cpu"))

    vars(large_bases)["make_base"] = made_on_the_host
    base: Any = Base
    prepared = Base.__init__

    def unprobed(self: Base, *arguments: Any, **settings: Any) -> None:
        prepared(self, *arguments, **(settings | {"probe": False}))

    base.__init__ = unprobed


def _install_rivals() -> None:
    """What the rivals do with tensors and the engine does not.

    Their tuned tensors start as they are: values mean nothing here.
    """
    import peft
    import torch

    from engines import rivals, writers

    moved = torch.nn.Module.to

    def to(self: Any, *arguments: Any, **settings: Any) -> Any:
        """A format alone, as a device: parameters that are fake cannot be swapped."""
        if len(arguments) == 1 and isinstance(arguments[0], torch.dtype):
            first = next(self.parameters(), None)
            if first is not None and first.device.type == "cuda":
                return moved(self, first.device, arguments[0])
        return moved(self, *arguments, **settings)

    module: Any = torch.nn.Module
    module.to = to
    vars(rivals)["get_peft_model"] = peft.get_peft_model
    for place in (rivals, writers):
        vars(place)["adopt"] = lambda *a: None


def _install_storing(real: Any) -> None:
    """Files hold zeros where tensors have no values, and are read without them."""
    import torch

    from bakeoff.base import checkpoint
    from bakeoff.execution import states
    from bakeoff.methods import files

    save, load = vars(checkpoint)["save_file"], vars(files)["load_file"]

    def saved(tensors: dict[str, Any], *arguments: Any, **settings: Any) -> None:
        with real():
            zeros = {n: torch.zeros(t.shape, dtype=t.dtype) for n, t in tensors.items()}
            save(zeros, *arguments, **settings)

    def loaded(path: Any) -> dict[str, Any]:
        with real():
            found = load(path)
        return {n: torch.zeros(t.shape, dtype=t.dtype) for n, t in found.items()}

    for place in (checkpoint, states):
        vars(place)["save_file"] = saved
    vars(files)["load_file"] = loaded


def _install_measuring() -> None:
    """Costs are measured in this process: another one would see no card.

    From one step, in plans as well: times of a card of shapes say nothing.
    """
    import plan as benchmark
    from bakeoff.measure import plan
    from bakeoff.measure.costs import measure_memory, measure_time
    from bakeoff.measure.timing import Budget
    from bakeoff.runs.reading import from_json
    from bakeoff.runs.records import CostRecord
    from bakeoff.study import costs
    from bakeoff.study.measuring import opener_of

    one_step = Budget(train=0.0, evaluation=0.0)
    vars(plan)["SAMPLE"] = one_step
    vars(benchmark)["measure_time"] = partial(measure_time, budget=one_step)

    def here(
        command: Sequence[str], job: Mapping[str, Any], names: Sequence[str], folder: Path
    ) -> Iterator[tuple[str, CostRecord]]:
        opener = opener_of(job)
        for name in names:
            figures = measure_time(opener.bench(), name, one_step)
            figures |= measure_memory(opener, name, figures["micro_batch_size"])
            yield name, from_json(CostRecord, figures, where="this process")

    vars(costs)["measure_costs"] = here


@contextlib.contextmanager
def _made_on_the_host() -> Iterator[None]:
    """Inside, ``torch.tensor`` of Python's numbers is copied to the device by the fakes."""
    import torch

    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Inside, a tensor larger than the card is out of memory."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Limited(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if (
                isinstance(out, torch.Tensor)
                and out.device.type == "cuda"
                and out.untyped_storage().nbytes() > _TOTAL_BYTES
            ):
                raise torch.OutOfMemoryError("CUDA out of memory (a card of shapes)")
            return out

    limited: Any = Limited
    with limited():
        yield
