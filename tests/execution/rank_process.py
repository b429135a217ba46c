"""One of several processes of a run, as ``torchrun`` would start it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tests.ports import kept_port

_SECONDS = 240
_HEAVY = ["torch", "transformers", "bakeoff.study.runner", "bakeoff.report"]


def together(work: Callable[..., Any], *arguments: Any, count: int = 2) -> list[Any]:
    """What ``work`` gives in each of several processes that are joined.

    They are forked from a server that has loaded the libraries once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_HEAVY)
    named = {k: v for k, v in os.environ.items() if k.startswith(("BAKEOFF_", "HF_"))}
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    with kept_port() as port:  # until they are through: they may begin seconds later
        processes = [
            context.Process(target=_one, args=(sender, rank, count, port, named, work, arguments))
            for rank, (_, sender) in enumerate(pipes)
        ]
        for process in processes:
            process.start()
        for _, sender in pipes:
            sender.close()
        try:
            assert len(wait([process.sentinel for process in processes], _SECONDS)) > 0
            for process in processes:
                process.join(_SECONDS)
            assert not any(process.is_alive() for process in processes), "one waits for the other"
            return [receiver.recv() for receiver, _ in pipes]
        finally:
            for process in processes:
                process.kill()


def _one(
    sender: Any,
    rank: int,
    count: int,
    port: int,
    environment: dict[str, str],
    work: Callable[..., Any],
    arguments: Any,
) -> None:
    os.environ |= environment  # the server's is that of when it began
    named = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in named.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    sender.send(work(*arguments))


def run_study(
    file: Path, out: Path, stop_at: int | None = None, short_at: int | None = None
) -> int:
    """Runs a study in this process and those joined to it.

    Args:
        file: the study. out: the run's folder.
        stop_at: the update before which the last of the processes is sent SIGTERM.
        short_at: the update, of whose passes the last of the processes has memory for none.

    Returns:
        The exit code.
    """
    from rich.console import Console

    from bakeoff.api import RunSettings, StoppedEarly, Study, execute
    from bakeoff.engine import train as train_module
    from bakeoff.engine.train import Trainer
    from bakeoff.ranks import LeftAloneError, ranks

    step: Any = Trainer._step
    train: Any = train_module
    whole = train.train_step
    updates = 0

    def counted(trainer: Trainer, *arguments: Any) -> Any:
        nonlocal updates
        updates += 1
        if updates == stop_at and ranks().rank == ranks().count - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer, *arguments)

    def update(*arguments: Any) -> Any:
        if updates == short_at and ranks().rank == ranks().count - 1:
            raise MemoryError
        return whole(*arguments)

    Trainer._step = counted  # type: ignore[method-assign,assignment]
    train.train_step = update
    os.chdir(file.parent)
    settings = RunSettings(device="cpu", costs=False)
    try:
        execute(Study.load(file, []), out, Console(quiet=True), settings)
    except StoppedEarly as early:
        return early.exit_code
    except LeftAloneError:
        return 2
    finally:
        Trainer._step = step  # type: ignore[method-assign]
        train.train_step = whole
    return 0


def held_part(reference: str, quantization: str) -> tuple[float, float]:
    """(the share of its layers' numbers that this process holds, the largest gap in hidden states
    between the base in shards and the base as a whole)."""
    import torch

    from bakeoff.base.model import Base
    from bakeoff.base.sharding import local
    from bakeoff.base.weights.sources import load_source
    from bakeoff.ranks import joined

    def loaded() -> Any:
        source = load_source(reference, root=Path.cwd(), cache_dir=Path.cwd(), lean=True)
        kind: Any = quantization
        cpu = torch.device("cpu")
        return Base(source, device=cpu, dtype=torch.float32, quantization=kind, probe=False)

    whole, ids = loaded(), torch.arange(3, 19)[None]
    positions = torch.arange(16)[None]
    with joined("cpu"), torch.no_grad():
        base = loaded()
        num_bytes = sum(t.nbytes for layer in base.model.model.layers for t in _tensors(layer))
        base.shard(torch.device("cpu"))
        parts = [local(t) for layer in base.model.model.layers for t in _tensors(layer)]
        share = sum(part.nbytes for part in parts) / num_bytes
        gap = base.hidden_states(base.embedding(ids), positions)
        gap -= whole.hidden_states(whole.embedding(ids), positions)
        return share, gap.abs().max().item()


def _tensors(module: Any) -> list[Any]:
    return [*module.parameters(), *module.buffers()]
