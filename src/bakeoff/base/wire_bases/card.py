"""The card of a member of the family: what it is, and all that it was made from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from bakeoff.base.wire_bases.shapes import Shape
from bakeoff.formatting import counted

_CARD: Final = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
library_name: transformers
---

# {name}

A GPT-Neo of {parameters:,} parameters ({layers} layers alternating between global and local
attention, width {width}, {heads} heads, {vocabulary:,} byte-level BPE tokens, tied embeddings,
{positions} positions), for demos and tests that must run offline on a CPU. It writes invented
newsroom prose; it knows nothing about the world and is of no other use.

## How it was made

    {command}

| | |
| --- | --- |
| data | `bakeoff.data.wire`, split `pretrain`, seeds from {seed}: articles alone, once each |
| tokenizer | `tiny`'s, trained on the first 6,000 of these articles; all members have the same |
| rows | {row_tokens} tokens, articles packed after `<|endoftext|>`, {rows} rows per step |
| steps | {steps:,} |
| tokens | {tokens:,}, {share:.2f} per parameter |
| optimiser | AdamW, peak rate {learning_rate:g}, linear warm-up, cosine decay, weight decay 0.1 |
| training loss | {train_loss:.4f} nats per token, mean of the last steps |
| held-out loss | {held_out:.4f} nats per token on {held_out_articles} `validation` articles |
| seed | {seed} |
| made on | {made_on} |
| weights | SHA-256 {digest} |
| stored as | float16; `from_pretrained` loads it as float32 |

On the same kind of processor (on a CPU with as many threads), with the same PyTorch, the weights
are the same to the bit; elsewhere the last bits differ, and the held-out loss should be the same
within 1e-3.

All people, places and companies in its data are invented. Licence: Apache-2.0.
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a member came out.

    Attributes:
        command: that makes it again. steps, tokens: it was trained for.
        train_loss, held_out: in nats per token.
    """

    name: str
    shape: Shape
    command: str
    parameters: int
    vocabulary: int
    positions: int
    seed: int
    threads: int
    row_tokens: int
    steps: int
    tokens: int
    train_loss: float
    held_out: float
    held_out_articles: int


def machine(device: torch.device) -> dict[str, str]:
    """What the last bits of a training on a device depend on: of a CPU its instructions and its
    vendor, of a GPU its model."""
    if device.type == "cuda":
        return {"torch": torch.__version__, "capability": torch.cuda.get_device_name(device)}
    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "vendor": _vendor(),
    }


def _vendor() -> str:
    """Who made the processor: MKL has other kernels on another one with the same instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, None) or platform.processor() or "an unnamed vendor"


def _made_on(made_on: Mapping[str, str], threads: int) -> str:
    """What a member was made on, in words."""
    if "vendor" not in made_on:
        return "PyTorch {torch}, {capability}".format(**made_on)
    kind = "{machine} of {vendor} ({capability})".format(**made_on)
    return f"PyTorch {made_on['torch']}, {kind}, {counted(threads, 'thread', 'threads')}"


def write_card(folder: Path, made: Made, made_on: Mapping[str, str]) -> str:
    """Writes ``README.md`` beside the weights.

    Args:
        made_on: see ``machine``.

    Returns:
        The SHA-256 of the weights' file.
    """
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    shape = made.shape
    card = _CARD.format(
        **vars(made),
        made_on=_made_on(made_on, made.threads),
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        rows=shape.rows,
        learning_rate=shape.learning_rate,
        share=made.tokens / made.parameters,
        digest=digest,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return digest
