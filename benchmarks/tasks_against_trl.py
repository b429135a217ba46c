"""Token ids and supervised positions of the kind ``complete`` against TRL's, on real rows.

TRL is asked as its trainer asks itself: ``SFTTrainer._prepare_dataset`` tokenises and labels rows
with ``prompt`` and ``completion``, and its collator makes a batch of them. The folder holds
``train.jsonl`` or ``train.jsonl.gz`` with two columns of texts, such as GSM8K's. Each row is laid
out in several ways, of which the last ones are where the two are known to differ.

    pip install --no-deps trl
    python benchmarks/tasks_against_trl.py PATH/TO/gsm8k --input question --answer answer
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
from transformers import PreTrainedTokenizerBase

from bakeoff.base.weights.sources import load_source
from bakeoff.study.opening import cache_folder
from bakeoff.tasks.preparation.prepare import prepare
from bakeoff.tasks.registry import read_task

Row = dict[str, str]
Labelled = tuple[list[int], list[int]]
"""A row's token ids, and which of them are supervised: 1 or 0 for each."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to make a row of an input and an answer.

    Attributes:
        name: for the table. row: makes the ``prompt`` and ``completion`` that TRL is given.
        template: what bakeoff is given, over the columns ``prompt``, ``completion``, ``input`` and
            ``answer``. target: what is learnt.
    """

    name: str
    row: Callable[[str, str], tuple[str, str]]
    template: str = "{prompt}{completion}"
    target: str = "completion"


def layouts(end: str) -> list[Layout]:
    """All of them; ``end`` is the spelling of the end-of-text token."""
    return [
        Layout(name="line end before the completion", row=lambda i, a: (i, f"\n{a}")),
        Layout(name="line end after the prompt", row=lambda i, a: (f"{i}\n", a)),
        Layout(name="space before the completion", row=lambda i, a: (f"{i}\nAnswer:", f" {a}")),
        Layout(name="space after the prompt", row=lambda i, a: (f"{i}\nAnswer: ", a)),
        Layout(name="nothing between", row=lambda i, a: (i.rstrip("?."), a)),
        Layout(
            name="template",
            row=lambda i, a: (f"Question: {i}\nAnswer:", f" {a}\n###"),
            template="Question: {input}\nAnswer: {answer}\n###",
            target="answer",
        ),
        Layout(name="end-of-text spelt in the data", row=lambda i, a: (f"{i} {end}\n", a)),
        Layout(name="end-of-text at the completion's end", row=lambda i, a: (f"{i}\n", a + end)),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints how many rows agree, by layout; returns 1 where the first six do not all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--input", default="question")
    parser.add_argument("--answer", default="answer")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--base", default="smollm2-135m")
    given = parser.parse_args(argv)
    source = load_source(given.base, root=Path.cwd(), cache_dir=cache_folder(), meta=True)
    tokenizer = source.tokenizer
    pairs = [(row[given.input], row[given.answer]) for row in read(given.folder, given.rows)]
    failed = False
    for number, layout in enumerate(layouts(tokenizer.eos_token)):
        rows = []
        for text, answer in pairs:
            prompt, completion = layout.row(text, answer)
            rows.append(
                {"prompt": prompt, "completion": completion, "input": text, "answer": answer}
            )
        theirs = by_trl(rows, tokenizer)
        ours = by_bakeoff(rows, layout, tokenizer, given.base)
        same_ids = sum(a[0] == b[0] for a, b in zip(ours, theirs, strict=True))
        same = sum(a == b for a, b in zip(ours, theirs, strict=True))
        print(f"{layout.name:36} {same_ids:4} of {len(rows)} with the same ids, {same:4} in all")
        if same < len(rows):
            show_first(ours, theirs, tokenizer)
        failed |= number < 6 and same < len(rows)
    return int(failed)


def read(folder: Path, count: int) -> list[Row]:
    """The first training rows."""
    packed, plain = folder / "train.jsonl.gz", folder / "train.jsonl"
    with gzip.open(packed, "rt") if packed.exists() else plain.open() as lines:
        return [json.loads(line) for _, line in zip(range(count), lines, strict=False)]


def by_bakeoff(
    rows: list[Row], layout: Layout, tokenizer: PreTrainedTokenizerBase, base: str
) -> list[Labelled]:
    """Rows as bakeoff trains on them."""
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        for split in ("train", "validation", "test"):
            (Path(folder) / f"{split}.jsonl").write_text(text, encoding="utf-8")
        task = read_task(
            {
                "kind": "complete",
                "source": folder,
                "template": layout.template,
                "target": layout.target,
                "chat_template": "none",  # TRL, too, is given texts and no messages
                "max_length": 4096,
                "allow_overlap": True,  # the splits are one file on purpose
            }
        )
        data = prepare(
            task, tokenizer, root=Path(folder), cache_dir=None, tokenizer_id=base
        ).splits["train"]
    edges = data.tokens.offsets
    return [
        (data.tokens[i].tolist(), data.is_target[edges[i] : edges[i + 1]].astype(int).tolist())
        for i in range(len(data))
    ]


def by_trl(rows: list[Row], tokenizer: PreTrainedTokenizerBase) -> list[Labelled]:
    """Rows as TRL's trainer prepares and collates them."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

    # What the method reads of its trainer, so that no model need be loaded.
    trainer: Any = SimpleNamespace(
        _tokenizer=tokenizer, chat_template=None, completion_only_loss=True
    )
    given = datasets.Dataset.from_list(
        [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]
    )
    with tempfile.TemporaryDirectory() as folder:
        args = SFTConfig(output_dir=folder, max_length=None, use_cpu=True, bf16=False)
        prepared = SFTTrainer._prepare_dataset(
            trainer, given, tokenizer, args, packing=False, formatting_func=None, dataset_name="x"
        )
    batch = DataCollatorForLanguageModeling(pad_token_id=0)(list(prepared))
    lengths = batch["attention_mask"].sum(1).tolist()
    return [
        (ids[:length].tolist(), (labels[:length] != -100).int().tolist())
        for ids, labels, length in zip(batch["input_ids"], batch["labels"], lengths, strict=True)
    ]


def show_first(
    ours: list[Labelled], theirs: list[Labelled], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Prints the first row that differs, around the first place where it does."""
    convert: Any = tokenizer.convert_ids_to_tokens
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1):
        pairs = [list(zip(*side, strict=True)) for side in (a, b)]
        if pairs[0] == pairs[1]:
            continue
        shared = min(len(pairs[0]), len(pairs[1]))
        place = next((i for i in range(shared) if pairs[0][i] != pairs[1][i]), shared)
        for name, side in zip(("bakeoff", "TRL"), pairs, strict=True):
            near = [(convert(int(i)), m) for i, m in side[max(0, place - 2) : place + 4]]
            print(f"    row {number}, token {place + 1}, {name}: {near}")
        return


if __name__ == "__main__":
    sys.exit(main())
