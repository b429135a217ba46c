"""Compiles our Triton kernels for NVIDIA cards that need not be here, down to the machine's code.

``make kernels`` runs it. Each kernel is compiled in every form that the engine asks for, for Turing
(sm_75), Ampere (sm_80), Hopper (sm_90) and Blackwell (sm_100). What a form loads and stores for
each of its numbers (a logit, a trained value, an input of dropout) is held to a budget.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Final

from triton import compile as compiled
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from bakeoff.base.kernels import triton_kernels

CARDS: Final = (75, 80, 90, 100)
FORMATS: Final = ("fp32", "fp16", "bf16")
_FIRST_WITH_BF16: Final = 80


_ITEM_BYTES: Final = {"f32": 4, "f16": 2, "bf16": 2, "i8": 1, "i32": 4, "i64": 8}
_MOVED: Final = re.compile(r"tt\.(?:load|store) .*: tensor<\d+x!tt\.ptr<(\w+)>>")


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way in which the engine asks for a kernel.

    Attributes:
        name: for people. kernel: Triton's. types: of its arguments.
        constants: what is compiled in. warps: of a program.
        budget: bytes that it may load and store for each number.
    """

    name: str
    kernel: Any
    types: dict[str, str]
    constants: dict[str, Any]
    warps: int
    budget: int


def forms() -> list[Form]:
    """All that is asked for."""
    found: list[Form] = []
    for has_cap in (False, True):
        for slopes in (None, *FORMATS):
            types = {
                **{"logits": "*fp32", "targets": "*i64", "counts": "*i1", "nll": "*fp32"},
                **{"slopes": f"*{slopes or 'fp32'}", "size": "i32", "cap": "fp32"},
            }
            found.append(
                Form(
                    name=f"losses, {slopes or 'no'} slopes{', capped' if has_cap else ''}",
                    kernel=triton_kernels.losses_and_slopes,
                    types=types,
                    constants={"HAS_CAP": has_cap, "WRITES": slopes is not None, "BLOCK": 4096},
                    warps=8,
                    # Each logit is read once, and once more where its slope is written; as plain
                    # operations 40 bytes.
                    budget=4 if slopes is None else 4 + 4 + _bytes(slopes),
                )
            )
    for has_ratio in (False, True):
        floats = ("values", "grads", "first", "second", "of_slot")
        types = dict.fromkeys(floats, "*fp32")
        types |= {"has_ratio": "*i1" if has_ratio else "*fp32", "size": "i32"}
        types |= {"eps": "fp32", "left2": "fp32"}
        found.append(
            Form(
                name=f"AdamW{', two rates' if has_ratio else ''}",
                kernel=triton_kernels.adamw,
                types=types,
                constants={
                    **{"NUM": triton_kernels.SLOT_NUMBERS, "HAS_RATIO": has_ratio},
                    "BLOCK": 1024,
                },
                warps=4,
                # Value, gradient and both moments, read and written; which rate is a byte.
                budget=4 * 2 * 4 + has_ratio,
            )
        )
    for given in FORMATS:
        types = {"given": f"*{given}", "kept": f"*{given}", "seeds": "*i64", "updates": "*i64"}
        types |= {"thresholds": "*i32", "scales": "*fp32", "first_rows": "*i64"}
        types |= dict.fromkeys(("layer_key", "row_length", "num_positions", "width"), "i32")
        found.append(
            Form(
                name=f"dropout, {given}",
                kernel=triton_kernels.dropout,
                types=types,
                constants={"BLOCK": 1024},
                warps=4,
                budget=2 * _bytes(given),
            )
        )
    return found


def moved_bytes(code: str) -> int:
    """What a kernel loads and stores for each of its numbers, by Triton's own code (TTIR).

    Numbers of a whole program, such as a token's target, are few and do not count.
    """
    return sum(_ITEM_BYTES[item] for item in _MOVED.findall(code))


def _bytes(name: str) -> int:
    return _ITEM_BYTES[name.replace("fp", "f")]


def main() -> None:
    """Compiles all, and prints what each takes of a card."""
    begun, number = time.monotonic(), 0
    for form in forms():
        for card in CARDS:
            if "*bf16" in form.types.values() and card < _FIRST_WITH_BF16:
                continue  # bases are in float16 there
            signature = {**form.types, **dict.fromkeys(form.constants, "constexpr")}
            source = ASTSource(fn=form.kernel, signature=signature, constexprs=form.constants)
            made = compiled(
                source, target=GPUTarget("cuda", card, 32), options={"num_warps": form.warps}
            )
            assert made.asm["cubin"], f"{form.name} for sm_{card}: no code"
            moved = moved_bytes(made.asm["ttir"])
            assert 0 < moved <= form.budget, (
                f"{form.name} for sm_{card}: moves {moved} bytes for each number, "
                f"{form.budget} are allowed"
            )
            number += 1
        print(f"{form.name}: {len(made.asm['cubin']):,} bytes for sm_{card}, moves {moved} each")
    print(f"{number} kernels for {', '.join(f'sm_{card}' for card in CARDS)}", end=" ")
    print(f"in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
