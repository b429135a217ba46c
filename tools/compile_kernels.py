"""Compiles our Triton kernels for NVIDIA cards that need not be here, down to the machine's code.

``make kernels`` runs it. Each kernel is compiled in every form that the engine asks for, for Turing
(sm_75), Ampere (sm_80), Hopper (sm_90) and Blackwell (sm_100).
"""

from __future__ import annotations

import time
from typing import Any, Final

from triton import compile as compiled
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from bakeoff.base.kernels import triton_kernels

CARDS: Final = (75, 80, 90, 100)
FORMATS: Final = ("fp32", "fp16", "bf16")
_FIRST_WITH_BF16: Final = 80


def forms() -> list[tuple[str, Any, dict[str, str], dict[str, Any], int]]:
    """(name, kernel, types of its arguments, constants, warps) of all that is asked for."""
    found: list[tuple[str, Any, dict[str, str], dict[str, Any], int]] = []
    losses = triton_kernels.losses_and_slopes
    for has_cap in (False, True):
        for slopes in (None, *FORMATS):
            types = {
                **{"logits": "*fp32", "targets": "*i64", "counts": "*i1", "nll": "*fp32"},
                **{"slopes": f"*{slopes or 'fp32'}", "size": "i32", "cap": "fp32"},
            }
            constants = {"HAS_CAP": has_cap, "WRITES": slopes is not None, "BLOCK": 4096}
            name = f"losses, {slopes or 'no'} slopes{', capped' if has_cap else ''}"
            found.append((name, losses, types, constants, 8))
    for has_ratio in (False, True):
        floats = ("values", "grads", "first", "second", "of_slot")
        types = dict.fromkeys(floats, "*fp32")
        types |= {"has_ratio": "*i1" if has_ratio else "*fp32", "size": "i32"}
        types |= {"eps": "fp32", "left2": "fp32"}
        constants = {"NUM": triton_kernels.SLOT_NUMBERS, "HAS_RATIO": has_ratio, "BLOCK": 1024}
        name = f"AdamW{', two rates' if has_ratio else ''}"
        found.append((name, triton_kernels.adamw, types, constants, 4))
    for given in FORMATS:
        types = {"given": f"*{given}", "kept": f"*{given}", "seeds": "*i64", "updates": "*i64"}
        types |= {"thresholds": "*i32", "scales": "*fp32", "first_rows": "*i64"}
        types |= dict.fromkeys(("layer_key", "row_length", "num_positions", "width"), "i32")
        found.append((f"dropout, {given}", triton_kernels.dropout, types, {"BLOCK": 1024}, 4))
    return found


def main() -> None:
    """Compiles all, and prints what each takes of a card."""
    begun, number = time.monotonic(), 0
    for name, kernel, types, constants, warps in forms():
        for card in CARDS:
            if "*bf16" in types.values() and card < _FIRST_WITH_BF16:
                continue  # bases are in float16 there
            signature = {**types, **dict.fromkeys(constants, "constexpr")}
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            made = compiled(
                source, target=GPUTarget("cuda", card, 32), options={"num_warps": warps}
            )
            assert made.asm["cubin"], f"{name} for sm_{card}: no code"
            number += 1
        print(f"{name}: {len(made.asm['cubin']):,} bytes for sm_{card}")
    print(f"{number} kernels for {', '.join(f'sm_{card}' for card in CARDS)}", end=" ")
    print(f"in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
