"""Which of the installed PEFT's methods work here: each one trained on the embedded base.

For every ``peft_type``: whether it starts as the base, its validation NLL after an epoch at the
best of three rates against the untuned base's, how many parameters it trains, whether PEFT can
merge it; or why it does not work. ``--write FILE`` puts the table between the file's two marks.

    python benchmarks/peft_types.py --write docs/methods.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftType

from bakeoff.config import load_yaml
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.candidate import Candidate, Observer
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.engine.train import Trainer
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import BakeoffError
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench

RATES = (1e-3, 1e-2, 1e-1)
MARKS = ("<!-- peft types: begin -->", "<!-- peft types: end -->")
TARGETS = ["q_proj", "v_proj"]
STUDY = """
name: peft-types
base: tiny
task:
  source: wire
  document: article
  summary: highlights
  examples: {train: 128, validation: 32, test: 8}
  cleaning: [collapse_whitespace]
  template: "{document} {summary}"
  max_length: 128
  max_target_tokens: 48
precision: float32
protocol: {epochs: 1, micro_batch_size: 4, grad_accum_steps: 1, patience: null}
methods: {lora: {kind: lora}}
"""
FIELDS: dict[str, dict[str, Any]] = {
    "ADALORA": {"total_step": 32, "tinit": 4, "tfinal": 4, "deltaT": 2},
    "ADAPTION_PROMPT": {"adapter_len": 8, "adapter_layers": 2, "target_modules": "attention"},
    "BEFT": {"target_modules": ["out_proj", "c_proj"]},
    "C3A": {"block_size": 32},
    "FOURIERFT": {"init_weights": True},  # else it starts far from the base
    "IA3": {"target_modules": ["k_proj", "v_proj", "c_proj"], "feedforward_modules": ["c_proj"]},
    "LN_TUNING": {"target_modules": ["ln_1", "ln_2", "ln_f"]},
    "SHADOW": {"shadow_dropout": 0.0},
    "TRAINABLE_TOKENS": {"token_indices": [1, 2, 3], "target_modules": None},
    "VBLORA": {"vector_length": 64},
    "XLORA": {"xlora_dropout_p": 0.0, "hidden_size": 128, "adapters": {}, "target_modules": None},
}
"""What a type cannot do without on this base; all others get ``target_modules`` alone."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One type's outcome; ``reason`` where it does not work."""

    name: str
    parameters: int | None = None
    start_gap: float | None = None
    val_nll: float | None = None
    rate: float | None = None
    merges: bool | None = None
    reason: str | None = None


class Silent(Observer):
    """Reports nothing."""

    def on_step(self, *arguments: Any) -> None: ...

    def on_epoch(self, candidate: Candidate) -> None: ...

    def on_pause(self, candidate: Candidate) -> None: ...

    def on_end(self, candidate: Candidate) -> None: ...

    def on_note(self, note: str) -> None: ...


def options_for(name: str) -> dict[str, Any]:
    """A study's options of a type."""
    given = {"target_modules": TARGETS} | FIELDS.get(name, {})
    return {"peft_type": name} | {k: v for k, v in given.items() if v is not None}


def probe_logits(cohort: Cohort, ids_BT: torch.Tensor) -> torch.Tensor:
    """[B, T, V] of the cohort's only slot."""
    with torch.no_grad():
        hidden_KBTD, _ = cohort.hidden_states(ids_BT[None])
        weight, _ = cohort.head()
        return hidden_KBTD[0] @ weight.t()


def start_gap(method: Method) -> float:
    """The largest difference of an untrained candidate's logits from the base's."""
    ids_BT = torch.arange(1, 33)[None]
    with Cohort(method.base, [], 1) as empty:
        expected = probe_logits(empty, ids_BT)
    with Cohort(method.base, [method], 1) as cohort:
        cohort.seat(0, method, method.initial(torch.Generator().manual_seed(0)))
        return float((probe_logits(cohort, ids_BT) - expected).abs().max())


def trained_nll(bench: Workbench, method: Method, rate: float, protocol: ProtocolOptions) -> float:
    """Validation NLL after training; infinite where it diverges."""
    batch_source = TokenSource(bench.base.device)
    candidate = Candidate(
        id="x", method_name="x", method=method, learning_rate=rate, seed=protocol.seed_list[0]
    )
    plans = bench.plans
    trainer = Trainer(
        bench.base,
        batch_source,
        plans["train"],
        plans["validation"],
        protocol,
        Silent(),
        num_slots=1,
    )
    trainer.run([candidate])
    return candidate.best_val_nll if candidate.best_val_nll is not None else float("inf")


def outcome(bench: Workbench, name: str) -> Row:
    """Trains one type, or says why it cannot be."""
    kind = method_type("peft", where="kind")
    try:
        options = kind.read_options(options_for(name), path="methods.x")
        method = kind(options, bench.base, where="methods.x")
        gap = start_gap(method)
        protocol = bench.protocol
        nlls = {rate: trained_nll(bench, method, rate, protocol) for rate in RATES}
        best = min(nlls, key=lambda rate: nlls[rate])
        try:
            method.merged_weights(method.initial(torch.Generator().manual_seed(0)))
            merges = True
        except BakeoffError:
            merges = False
    except Exception as error:  # whatever it is, it is what the table shows
        text = " ".join(str(error).split()).removeprefix("methods.x: ").removeprefix("methods.x.")
        own = isinstance(error, BakeoffError)
        return Row(name=name, reason=text if own else f"{type(error).__name__}: {text}")
    return Row(
        name=name,
        parameters=method.num_trainable,
        start_gap=gap,
        val_nll=nlls[best],
        rate=best,
        merges=merges,
    )


def table(rows: Iterable[Row], zero_shot: float) -> str:
    """The rows as Markdown."""
    lines = [
        f"PEFT {peft.__version__} on `tiny`, whose validation NLL untuned is {zero_shot:.3f}.",
        "",
        "| peft_type | works | starts as the base | validation NLL (rate) | parameters | merges |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.reason is not None:
            reason = row.reason.replace("|", "\\|")
            reason = reason if len(reason) <= 240 else f"{reason[:237]}..."
            lines.append(f"| {row.name} | no: {reason} | | | | |")
            continue
        assert row.start_gap is not None and row.val_nll is not None
        start = "yes" if row.start_gap <= 1e-4 else f"no ({row.start_gap:.2g})"
        works = "yes" if row.val_nll < zero_shot else "does not learn"
        lines.append(
            f"| {row.name} | {works} | {start} | {row.val_nll:.3f} ({row.rate:g}) | "
            f"{row.parameters:,} | {'yes' if row.merges else 'no'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the table, or writes it into a document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", nargs="*", help="only these")
    parser.add_argument("--write", type=Path, help="a document with the two marks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = study_from_mapping(load_yaml(STUDY, where="STUDY"), folder=Path.cwd())
    bench = open_workbench(study, "cpu")
    with Cohort(bench.base, [], 1) as empty:
        sums = example_nlls(empty, 0, TokenSource(bench.base.device), bench.plans["validation"])
    zero_shot = mean_nll(sums, bench.plans["validation"])
    rows = []
    for name in arguments.types or sorted(kind.value for kind in PeftType):
        rows.append(outcome(bench, name))
        print(rows[-1], file=sys.stderr, flush=True)
    text = table(rows, zero_shot)
    if arguments.write is None:
        print(text)
        return
    document = arguments.write.read_text(encoding="utf-8")
    before, _, rest = document.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    arguments.write.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
