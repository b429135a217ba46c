"""The model card of an export: what it is, how it was trained, what it reached, how to load it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bakeoff.decide.verdicts import ZERO_SHOT, unit_words
from bakeoff.formatting import MISSING, scale_of, shown_rate, shown_whole
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.inference.licenses import license_lines
from bakeoff.inference.loading import how_to_load
from bakeoff.inference.naming import BASE_FOLDER, BaseName
from bakeoff.runs.records import Estimate, MethodRecord, MetricRecord

TASK_FILE: Final = "bakeoff_task.json"
_CAUTION_ON_FOLDER: Final = "The base is the folder "


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card is made of.

    Attributes:
        is_merged: whether the export is a whole model. base: its base. license: the base's.
        adapter: what ``adapter_config.json`` says; empty where it is merged.
        folder: the export's name.
        conversion: what was left out of it, and what that costs; empty where it is a mere copy.
    """

    run: FinishedRun
    kept: Kept
    is_merged: bool
    base: BaseName
    license: str | None
    adapter: Mapping[str, Any]
    folder: str
    conversion: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> MethodRecord:
        """The candidate's method."""
        return self.run.results.methods[self.name]

    @property
    def name(self) -> str:
        """Its name in the study."""
        return self.run.results.candidates[self.kept.id].method


def card_text(card: Card) -> str:
    """``README.md``, with YAML in front that the hub reads."""
    study = str(card.run.results.study.get("name") or card.run.path.name)
    what = "A merged model" if card.is_merged else "An adapter"
    lines = [
        *_front(card),
        f"# {study}: {card.kept.id}",
        "",
        f"{what} of {code(card.base.card)}, tuned by {card.record.kind} "
        f"({card.record.title or card.record.kind}) with bakeoff.",
        *(["", card.base.caution] if card.base.caution and not _is_merged_locally(card) else []),
        *(["", "The base's own licence is not known here."] if card.license is None else []),
        "",
        "## How it was trained",
        "",
        *_training(card),
        "",
        *(["## What it was converted to", "", *_converted(card), ""] if card.conversion else []),
        "## What it reached",
        "",
        *_scores(card),
        "",
        "## How to load it",
        "",
        *how_to_load(
            card.folder,
            card.base,
            card.adapter,
            is_merged=card.is_merged,
            kept=card.kept,
            conversion=card.conversion,
        ),
        "",
        "## How to ask it",
        "",
        *_asking(card),
    ]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """A text as code in Markdown, on one line."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"


def renamed_base(text: str, was: str, hub_id: str) -> str:
    """A card whose base is named by its hub id, instead of what an export called it.

    Args:
        text: the card. was: what ``adapter_config.json`` named. hub_id: of the base.
    """
    lines = []
    for line in text.splitlines():
        if line.startswith((_CAUTION_ON_FOLDER, "base_model:")):
            continue
        named = line.replace(f'f"{{folder}}/{BASE_FOLDER}"', f'"{hub_id}"').replace(was, hub_id)
        if line.startswith("vllm serve "):
            named = re.sub(
                r"^vllm serve \S+ --enable-lora", f"vllm serve {hub_id} --enable-lora", named
            )
        elif line.startswith("An adapter of `"):
            named = re.sub(r"^An adapter of `[^`]*`", f"An adapter of {code(hub_id)}", named)
        lines.append(named)
    head = f"base_model: {json.dumps(hub_id)}"
    return "\n".join([lines[0], head, *lines[1:]]) + "\n"


def base_card_text(text: str, repo: str) -> str:
    """The card of a base that goes up with its adapter.

    Args:
        text: the adapter's card. repo: the adapter's.
    """
    front = [line for line in text.splitlines() if line.startswith("license")]
    named = re.search(r"^An adapter of (`[^`]*`)", text, re.MULTILINE)
    what = "The base" if named is None else f"{named[1]}, the base"
    return "\n".join(
        [
            *("---", "library_name: transformers", *front),
            *("pipeline_tag: text-generation", "tags:", '- "bakeoff"', "---", ""),
            f"# Base of {repo}",
            "",
            f"{what} of the adapter [{repo}](https://huggingface.co/{repo}), as bakeoff has it: it "
            "is no model that the hub had already.",
            "",
        ]
    )


def _is_merged_locally(card: Card) -> bool:
    """A whole model needs no base, so that a warning on where that is says nothing."""
    return card.is_merged and not card.base.is_on_the_hub


def _front(card: Card) -> list[str]:
    tags = ["bakeoff", card.record.kind, card.run.task.kind]
    if not card.is_merged:
        tags.append("adapter")
    return [
        "---",
        # The hub links it, so that a folder's name or one of our own would be an error there.
        *([f"base_model: {json.dumps(card.base.card)}"] if card.base.is_on_the_hub else []),
        f"library_name: {'transformers' if card.is_merged else 'peft'}",
        *license_lines(card.license),
        "pipeline_tag: text-generation",
        "tags:",
        *(f"- {json.dumps(tag)}" for tag in dict.fromkeys(tags)),
        "---",
        "",
    ]


def _training(card: Card) -> list[str]:
    results, record = card.run.results, card.record
    candidate = results.candidates[card.kept.id]
    protocol = card.run.study.options.protocol.under(candidate.options)
    options = {**record.options, **candidate.options}
    said = ", ".join(f"{k} {v}" for k, v in options.items() if isinstance(v, str | int | float))
    facts = {
        "task": card.run.task.kind,
        "data": _source(results.study.get("task", {}).get("source")),
        "training rows": shown_whole(results.data.train.examples),
        "learning rate": shown_rate(candidate.learning_rate),
        "seed": str(candidate.seed),
        "epochs": f"{len(candidate.epochs)} trained, the best, {candidate.best_epoch}, kept"
        if candidate.best_epoch is not None
        else f"{len(candidate.epochs)} trained",
        "rows per update": str(protocol.micro_batch_size * protocol.grad_accum_steps),
        "schedule": f"{protocol.schedule}, warm-up over {100 * protocol.warmup_ratio:.3g} %",
        "trainable parameters": shown_whole(record.cost.trainable_parameters),
        "options": said,
        "made with": ", ".join(
            f"{name} {version}"
            for name in ("bakeoff", "torch", "transformers", "peft")
            if (version := getattr(results.environment, name))
        ),
    }
    rows = [f"| {name} | {code(value)} |" for name, value in facts.items() if value]
    return ["| | |", "| --- | --- |", *rows]


def _converted(card: Card) -> list[str]:
    found = card.conversion
    if "rank" in found:
        share = 100 * found["update_norm_left_out"]
        said = (
            f"This is a LoRA of rank {found['rank']} that was made of the {found['kind']} "
            f"candidate after training. It leaves out {share:.3g} % of the update's norm"
        )
        others = found["parameters_left_out"]
        said += f", and {len(others)} parameters that no LoRA holds." if others else "."
    else:
        said = f"The weights were rounded to {found['dtype'].removeprefix('torch.')}."
    if "nll_after" not in found:
        return [f"{said} What that costs was not measured."]
    return [
        f"{said} What that costs, on {shown_whole(found['validation_rows'])} validation rows:",
        "",
        "| NLL per token | |",
        "| --- | --- |",
        f"| before the conversion | {found['nll_before']:.4f} |",
        f"| this export | {found['nll_after']:.4f} |",
        f"| untuned | {found['nll_untuned']:.4f} |",
        "",
        "All scores below are of the candidate before the conversion.",
    ]


def _source(source: Any) -> str:
    """Where the rows came from, without folders of this machine."""
    if not isinstance(source, str):
        return "rows of the study's own"
    is_local = Path(source).expanduser().exists() or source.startswith((".", "/", "~"))
    return Path(source).name if is_local else source


def _scores(card: Card) -> list[str]:
    results, record = card.run.results, card.record
    if not record.test:
        return ["It was not tested."]
    zero = results.baselines.get(ZERO_SHOT)
    rows = []
    for metric in results.task.metrics:
        found = record.test.get(metric.name)
        if found is None:
            continue
        untuned = None if zero is None else zero.test.get(metric.name)
        rows.append(_score_row(card, metric, found, untuned))
    seeds = len(record.seeds)
    return [
        f"On {shown_whole(results.data.test.examples)} test rows: this very run, the mean of "
        f"{seeds} run{'' if seeds == 1 else 's'} of {card.name} with other seeds alike, with its "
        "interval, and the untuned base.",
        "",
        "| metric | this run | mean | interval | untuned |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"The study's answer: {' '.join(results.recommendation.why.split())}",
    ]


def _score_row(card: Card, metric: MetricRecord, found: Estimate, untuned: Estimate | None) -> str:
    write = scale_of(metric.unit).write
    seed = card.run.results.candidates[card.kept.id].seed
    own = None
    if len(found.per_seed) == len(card.record.seeds) and card.kept.id in card.record.candidates:
        own = dict(zip(card.record.seeds, found.per_seed, strict=True)).get(seed)
    has_bounds = found.low is not None and found.high is not None
    interval = f"{write(found.low)} to {write(found.high)}" if has_bounds else MISSING
    unit = unit_words(metric.unit)
    better = "higher" if metric.higher_is_better else "lower"
    title = f"{metric.title}{f', {unit}' if unit else ''} ({better} is better)"
    base = None if untuned is None else untuned.mean
    return f"| {title} | {write(own)} | {write(found.mean)} | {interval} | {write(base)} |"


def _asking(card: Card) -> Sequence[str]:
    task = card.run.task
    if task.chat is not None:
        how = (
            "It was trained on the chat template that comes with the tokenizer: "
            "`tokenizer.apply_chat_template(messages, add_generation_prompt=True)`."
        )
    elif (template := getattr(task.options, "template", None)) is not None:
        how = (
            f"It was trained on the template {code(json.dumps(template, ensure_ascii=False))}; the "
            "prompt is what stands before the answer's column."
        )
    else:
        how = "It was trained on plain texts."
    rest = f"`{TASK_FILE}` has the template and everything else that an answer depends on."
    return [f"{how} {rest}"]
