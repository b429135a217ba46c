"""What updates and tokens cost on the device of shapes, and the file of what they may cost.

``python -m tests.fake_cuda.budgets`` measures again and writes ``budgets.json``. Run it where a
change lowers a figure, so that no later one takes that back; where it raises one, say why in the
change.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.fake_cuda import guard

FILE: Final = Path(__file__).with_name("budgets.json")
FIGURES: Final = ("peak_bytes", "operations", "moved_bytes", "captures")
VERSIONS: Final = ("torch", "transformers", "peft")
"""Of the libraries whose operators are counted."""
PROBE: Final = "budget:"
COSTLY: Final[dict[str, tuple[str, str, str, str]]] = {
    "update-lora-gpt_neo": ("update", "gpt_neo-wide", "bf16", "lora"),
    "update-lora-llama": ("update", "llama-wide", "bf16", "lora"),
    "update-lora-dropout": ("update", "llama-wide", "bf16", "lora-dropout"),
    "update-dora": ("update", "llama-wide", "bf16", "dora"),
    "update-soft-prompt": ("update", "gpt_neo-wide", "fp16", "soft-prompt"),
    "update-prefix": ("update", "llama-wide", "bf16", "prefix"),
    "update-head": ("update", "gpt_neo-wide", "bf16", "head"),
    "update-full": ("update", "gpt_neo-wide", "bf16", "full"),
    "tokens-lora": ("tokens", "llama-wide", "bf16", "lora"),
    "tokens-prefix": ("tokens", "gpt_neo-wide", "fp32", "prefix"),
}
"""By name: what is done, base, format and method."""


def measured(name: str) -> dict[str, int]:
    """The figures of one entry; in a process with the guard, inside of ``fake_device``.

    ``peak_bytes`` counts everything on the device but the base's own weights.
    """
    from bakeoff.engine.acceleration import accelerated
    from bakeoff.engine.generation.generate import GenerationOptions, generate
    from tests.fake_cuda import actions
    from tests.fake_cuda.bridge import base_of, method_of, plan_of, rows
    from tests.fake_cuda.watch import RECORD

    what, base_name, dtype, method_name = COSTLY[name]
    gc.collect()
    gc.disable()  # when a cycle is collected must not decide on a figure
    try:
        base = base_of(base_name, dtype)
        method = method_of(base, method_name)
        RECORD.clear()
        before = RECORD.live_bytes
        with actions.seated(base, method, trains=what == "update") as cohort:
            if what == "update":
                plan = plan_of(4, rows_per_step=4, prompt=(40, 60))
                with accelerated(cohort, 72, actions.ENGINE) as graphs:
                    actions.epoch(cohort, actions.batch_source_of(base, method, plan), plan, graphs)
            else:
                options = GenerationOptions(max_new_tokens=20, batch_rows=8)
                generate(cohort, [0], rows(16, (20, 50), 3), options)
        # Of an update those of one pass and of what follows the passes, of a token its own.
        counted = RECORD.graphs if what == "update" else RECORD.graphs[-1:]
        operations = sum(number for number, _ in counted)
        return {
            "peak_bytes": RECORD.peak_bytes - before,
            "operations": operations,
            "moved_bytes": sum(size for _, size in counted),
            "captures": RECORD.captures,
        }
    finally:
        gc.enable()


def versions() -> dict[str, str]:
    """Of the installed libraries, without what says how they were built."""
    return {name: version(name).partition("+")[0] for name in VERSIONS}


def main() -> None:
    """Measures in a process with the guard and writes the file."""
    names = [f"{PROBE}{name}" for name in COSTLY]
    done = subprocess.run(
        guard.python("child", *names),
        env=guard.environment(),
        cwd=guard.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        outcome = json.loads(line)
        if "error" in outcome:
            sys.exit(f"{outcome['id']}: {outcome['error']}\n{outcome['trace']}")
        found[outcome["id"].removeprefix(PROBE)] = outcome["found"]
    content = {"versions": versions(), "budgets": found}
    FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"{FILE.relative_to(guard.ROOT)}: {len(found)} entries")


if __name__ == "__main__":
    main()
