"""Training over a base of billions of parameters beside TRL's loop, in one run, interleaved.

    python benchmarks/large.py --folder FOLDER --quantization nf4 none --slots 1 4

Makes the base in ``FOLDER`` if it is not there: random weights in bfloat16, in shards, of the shape
that ``--shape`` names (16 GB for ``llama-8b``). Ours reads it lean, shard by shard; the rival loads
it by Transformers and quantises it by bitsandbytes' own layers. Both compute the layers again in
the backward pass, begin with the same LoRA and see the same batches; first losses must agree.

Prints one JSON object per line, as ``benchmarks/train.py`` does: ``ratio`` is ours over the
rival's tokens per second, ``memory_ratio`` likewise; with several slots ours serves as many
candidates. With ``--quick`` TRL's memory says little: its loss works in a buffer of 32,768 columns
for each row, whatever the vocabulary.
"""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.base.quantized.library import use_bitsandbytes
from bakeoff.engine.compiling import is_faster_compiled
from bakeoff.engine.options import EngineOptions
from bakeoff.types import Quantization
from common.flags import common_flags, parsed, positive, run_main
from engines.large_bases import make_base
from engines.measuring import (
    Contest,
    cold_compiler,
    device_name,
    print_record,
)
from engines.ours import OurTraining, held_base, initial_tensors, method_of
from engines.rivals import adopt, tuned
from engines.speeds import Figures, run_training
from engines.trainer_loop import TrainerLoop, TrlLoop
from engines.workload import Workload, random_plan

OURS: Final = "bakeoff"
SHAPES: Final[dict[str, dict[str, Any]]] = {
    # Meta's Llama 3 8B, config.json.
    "llama-8b": {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "llama-small": {
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all cases."""
    arguments = _arguments(argv)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    config = LlamaConfig(
        **SHAPES[arguments.shape], max_position_embeddings=8192, tie_word_embeddings=False
    )
    make_base(arguments.folder, config, device)
    ratios: dict[str, dict[str, float]] = {}
    memory: dict[str, dict[str, float]] = {}
    with cold_compiler():
        for kind in arguments.quantization:
            base, base_bytes = held_base(str(arguments.folder.resolve()), device, dtype, kind)
            work = Workload(
                plan=random_plan(
                    steps=arguments.warmup + arguments.steps,
                    rows_per_step=arguments.micro_batch_size,
                    max_length=arguments.max_length,
                    supervised=arguments.supervised,
                    vocabulary=base.vocabulary,
                ),
                rows=arguments.micro_batch_size,
                device=device,
                dtype=dtype,
            )
            for slots in arguments.slots:
                case = f"{arguments.shape} {kind} {slots} slots"
                found = _case(arguments, base, base_bytes, kind, work, slots, case)
                _free(device)
                speed, peak = found.pop(OURS)
                ratios[case] = {n: round(speed / s, 3) for n, (s, _) in found.items()}
                memory[case] = {n: round(peak / b, 3) for n, (_, b) in found.items() if peak and b}
            del base
            _free(device)
    print_record(
        summary=True,
        device=device_name(device),
        precision=str(dtype).removeprefix("torch."),
        ratio=ratios,
        memory_ratio=memory,
    )


def _case(
    arguments: argparse.Namespace,
    base: Base,
    base_bytes: int,
    kind: Quantization,
    work: Workload,
    slots: int,
    case: str,
) -> Figures:
    """Tokens per second and peak memory of each engine."""
    contest = Contest(case, base.device, required=[OURS])
    method = method_of(arguments.method[0], base)
    start = method, initial_tensors(method)

    def model() -> torch.nn.Module:
        auto: Any = AutoModelForCausalLM
        theirs = auto.from_pretrained(arguments.folder, dtype=work.dtype).to(work.device)
        use_bitsandbytes(theirs, kind)
        theirs.config.use_cache = False
        with_lora = tuned(theirs, arguments.method[0])
        # As PEFT holds what it trains; autocast brings both together.
        for parameter in with_lora.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        adopt(with_lora, *start)
        return with_lora

    checkpointing = arguments.gradient_checkpointing
    rivals: dict[str, Callable[[], TrainerLoop]] = {
        "trl": lambda: TrlLoop(model(), work, base.tokenizer, gradient_checkpointing=checkpointing),
        "trainer": lambda: TrainerLoop(model(), work, gradient_checkpointing=checkpointing),
    }
    options = EngineOptions(
        gradient_checkpointing=checkpointing,
        compile=True if is_faster_compiled(base) else "auto",
    )
    try:
        for name in arguments.rival:
            contest.enter(name, rivals[name])
        contest.enter(
            OURS,
            partial(OurTraining, base, base_bytes, method, slots, work, options),
        )
        return run_training(contest, case, work, arguments.warmup)
    finally:
        contest.close()


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = common_flags(__doc__, methods=["lora", "lora-all"], method="lora-all")
    parser.add_argument("--folder", type=Path, required=True, help="where the base is or is made")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="llama-8b")
    parser.add_argument(
        "--quantization", nargs="+", choices=get_args(Quantization), default=["nf4", "none"]
    )
    parser.add_argument("--rival", nargs="+", choices=["trl", "trainer"], default=["trl"])
    parser.add_argument("--slots", nargs="+", type=positive, default=[1, 4])
    parser.add_argument("--steps", type=positive, default=5, help="timed updates of each engine")
    parser.add_argument("--warmup", type=positive, default=2, help="updates before those")
    parser.add_argument(
        "--gradient-checkpointing",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="of all engines: computes layers again; TRL's default",
    )
    parser.set_defaults(micro_batch_size=4, max_length=1024, supervised=256)
    return parsed(
        parser,
        argv,
        shape="llama-small",
        micro_batch_size=2,
        max_length=64,
        supervised=16,
        steps=2,
        warmup=1,
    )


if __name__ == "__main__":
    run_main(main)
