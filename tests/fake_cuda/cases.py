"""What is run on fake CUDA tensors: the axes, their full product and a pairwise selection of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any, Final

from tests.fake_cuda.pairwise import all_pairs

METHODS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "head": ("head", {}),
    "head-tied": ("head", {"tied": True}),
    "lora": ("lora", {"rank": 2, "target_modules": None}),
    "lora-dropout": ("lora", {"rank": 2, "target_modules": None, "dropout": 0.5}),
    "dora": ("dora", {"rank": 2, "target_modules": None}),
    "soft-prompt": ("soft_prompt", {"prompt_length": 3}),
    "p-tuning": ("p_tuning", {"prompt_length": 3}),
    "prefix": ("prefix", {"prefix_length": 4}),
    "prefix-projected": ("prefix", {"prefix_length": 4, "projection": True}),
    "bottleneck": ("bottleneck", {}),
    "bottleneck-houlsby": ("bottleneck", {"variant": "houlsby"}),
    "bottleneck-parallel": ("bottleneck", {"placement": "parallel"}),
    "ia3": ("ia3", {}),
    "bitfit": ("bitfit", {"norms": True}),
    "last-layers": ("last_layers", {}),
    "full": ("full", {}),
    "peft-fourierft": ("peft", {"peft_type": "FOURIERFT", "n_frequency": 8}),
    "peft-loha": ("peft", {"peft_type": "LOHA", "r": 2}),
}
"""By the name in a test's id: the method's kind and options."""
DTYPES: Final = ("bf16", "fp16", "fp32")
BASES: Final = ("gpt_neo", "llama", "qwen3", "gemma3")
FEW_BASES: Final = ("gpt_neo", "llama", "gemma3")
"""Of an ordinary run: qwen3 differs from llama by norms alone, and each base takes seconds."""
ACTIONS: Final = ("train", "evaluate", "choose", "generate", "snapshot", "restore", "measure")
PASSES: Final = 2
"""Micro-batches of an update of ``train``."""
IMPOSSIBLE: Final = frozenset({("gemma3", "head-tied")})
"""Gemma scales its embedding's rows, so that no head can be tied to it: refused by the method."""
ALWAYS: Final = (("gemma3", "bf16", "soft-prompt", "train"),)
"""What the few cases of an ordinary run need not hold: Gemma's embedding scales its rows by a
number on the device, and a soft prompt starts from rows on the CPU."""
FULL: Final = "BAKEOFF_FAKE_CUDA"
"""The variable of the environment that asks for the full product when it is ``full``."""


@dataclass(frozen=True, order=True)
class Case:
    """One action of one method on one base in one format."""

    base: str
    dtype: str
    method: str
    action: str

    @property
    def id(self) -> str:
        """What a test of it is called."""
        return f"{self.method}-{self.dtype}-{self.base}-{self.action}"

    @classmethod
    def of_id(cls, name: str) -> Case:
        """The case that is called so."""
        method, dtype, base, action = name.rsplit("-", 3)
        return cls(base, dtype, method, action)


def selection() -> list[Case]:
    """The cases of this run.

    Ordinarily a few: each of ``FEW_BASES`` with every format and every action, every method once or
    twice with different actions, and ``ALWAYS``. With ``BAKEOFF_FAKE_CUDA=pairs`` every pair of
    values, with ``full`` all there are.
    """
    wanted = os.environ.get(FULL, "few")
    if wanted not in ("few", "pairs", "full"):
        raise ValueError(f"{FULL}: {wanted!r} is unknown; give few, pairs or full")
    if wanted == "few":
        return sorted({*_few(), *(Case(*row) for row in ALWAYS)})
    axes: tuple[tuple[str, ...], ...] = (BASES, DTYPES, tuple(METHODS), ACTIONS)
    rows: Sequence[tuple[object, ...]]
    if wanted == "full":
        rows = [row for row in product(*axes) if (row[0], row[2]) not in IMPOSSIBLE]
    else:
        rows = all_pairs(axes, frozenset((0, base, 2, name) for base, name in IMPOSSIBLE))
    return sorted(Case(*(str(value) for value in row)) for row in rows)


def _few() -> list[Case]:
    """All pairs of the other axes, with the methods in turn."""
    left = list(all_pairs((FEW_BASES, DTYPES, ACTIONS)))
    found: list[Case] = []
    for name in cycle(METHODS):
        if not left:
            break
        taken = {case.action for case in found if case.method == name}
        rows = (r for r in left if (r[0], name) not in IMPOSSIBLE and r[2] not in taken)
        if (row := next(rows, None)) is None:
            continue  # the next method's turn
        left.remove(row)
        base, dtype, action = map(str, row)
        found.append(Case(base, dtype, name, action))
    return found
