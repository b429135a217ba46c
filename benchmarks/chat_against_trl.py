"""The tokens that ``chat`` learns, and their losses, against TRL's ``assistant_only_loss``.

    pip install --target trl-there --no-deps trl
    PYTHONPATH=trl-there python benchmarks/chat_against_trl.py DATA

``DATA`` is a folder with ``train.jsonl.gz`` in ShareGPT's form, with function calls, observations
and tools. TRL's own tokenisation of ``SFTTrainer`` and its collator are compared with what a task
of the kind ``chat`` lays out, by two templates: the base's own, where TRL gets the same one with
``{% generation %}`` around what the assistant says, and TRL's for training Qwen 2.5, which both get
as it is. TRL's messages are made of the rows here, not by bakeoff.

Prints a JSON object for each template: rows, supervised tokens, rows whose tokens or supervision
differ, and for the first ``--loss-rows`` the mean loss of the untuned base by both and the greatest
relative difference of one row. Ends with 1 if anything differs, losses by more than 1e-5.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import Source, load_source
from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls
from bakeoff.study.opening import cache_folder
from bakeoff.tasks.conversation.chatml import TOOLS_TEXT
from bakeoff.tasks.preparation.prepare import prepare
from bakeoff.tasks.registry import read_task

TOLERANCE: Final = 1e-5
_LONGEST: Final = 4096

_ROLES: Final = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}

SMOLLM2_TAGGED: Final = """{% for message in messages %}\
{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
'}}{% if message['role'] == 'assistant' %}{% generation %}\
{{ message['content'] + '<|im_end|>' }}{% endgeneration %}\
{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '
'}}{% endfor %}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Compares both; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--loss-rows", type=int, default=0)
    arguments = parser.parse_args(argv)
    rows = list(itertools.islice(_rows(arguments.data), arguments.rows))
    import trl
    from trl.chat_template_utils import qwen2_5_training_chat_template

    cases = [
        ("auto", SMOLLM2_TAGGED, [_as_text(row) for row in rows]),
        (qwen2_5_training_chat_template, qwen2_5_training_chat_template, rows),
    ]
    names = ["the base's own", "Qwen 2.5 for training"]
    differ = False
    for name, (ours, theirs, messages) in zip(names, cases, strict=True):
        source = _source_of(arguments.base)
        part = _laid_out(arguments, source.tokenizer, ours)
        trainer = _trainer(source, theirs, messages)
        wrong, lost = _compared(part, list(trainer.train_dataset))
        found: dict[str, Any] = {
            "template": name,
            "trl": trl.__version__,
            "rows": len(part),
            "supervised_tokens": part.tokens_supervised,
            "rows_that_differ": wrong,
            "rows_without_counterpart": lost,
        }
        if arguments.loss_rows:
            # Another copy of the base: both change how theirs computes.
            found |= _losses(trainer, _source_of(arguments.base), part, arguments.loss_rows)
        differ |= bool(wrong or lost) or found.get("greatest_difference", 0.0) > TOLERANCE
        print(json.dumps(found), flush=True)
    return int(differ)


def _source_of(base: str) -> Source:
    return load_source(base, root=Path(), cache_dir=cache_folder())


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows as OpenAI has them."""
    with gzip.open(folder / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            tools = json.loads(row["tools"]) if row.get("tools") else []
            yield {
                "messages": [_message(turn) for turn in row["conversations"]],
                "tools": [{"type": "function", "function": tool} for tool in tools],
            }


def _message(turn: Mapping[str, str]) -> dict[str, Any]:
    if turn["from"] != "function_call":
        return {"role": _ROLES[turn["from"]], "content": turn["value"]}
    call = {"type": "function", "function": json.loads(turn["value"])}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """For a template without a place for tools: calls and tools as contents."""
    messages = []
    if row["tools"]:
        lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in row["tools"])
        messages.append({"role": "system", "content": TOOLS_TEXT.format(tools=lines)})
    for message in row["messages"]:
        content = message["content"]
        for call in message.get("tool_calls", ()):
            text = json.dumps(call["function"], ensure_ascii=False)
            content = f"<tool_call>\n{text}\n</tool_call>"
        messages.append({"role": message["role"], "content": content})
    return {"messages": messages}


def _laid_out(arguments: argparse.Namespace, tokenizer: Any, template: str) -> SplitData:
    file = str((arguments.data / "train.jsonl.gz").resolve())
    task = read_task(
        {
            "kind": "chat",
            "source": {"train": file, "validation": file, "test": file},
            "examples": {"train": arguments.rows, "validation": 1, "test": 1},
            "chat_template": template,
            "max_length": _LONGEST,
            "allow_overlap": True,  # only the training rows are looked at
        }
    )
    data = prepare(
        task, tokenizer, root=Path(), cache_dir=None, tokenizer_id=arguments.base, workers=1
    )
    part = data.splits["train"]
    if part.rows_cut:
        raise SystemExit(f"{part.rows_cut} rows are cut at {_LONGEST} tokens")
    return part


def _trainer(source: Any, template: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = source.tokenizer
    own, tokenizer.chat_template = tokenizer.chat_template, template
    folder = tempfile.mkdtemp()
    options = SFTConfig(
        output_dir=folder,
        assistant_only_loss=True,
        max_length=None,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
    )
    try:
        return SFTTrainer(
            model=source.model,
            args=options,
            train_dataset=Dataset.from_list(list(rows), on_mixed_types="use_json"),
            processing_class=tokenizer,
        )
    finally:
        tokenizer.chat_template = own


def _compared(part: SplitData, theirs: Sequence[Mapping[str, Any]]) -> tuple[list[int], int]:
    """Numbers of the rows that differ, and how many rows only one of them has."""
    wrong = []
    for i in range(min(len(part), len(theirs))):
        ids = np.array(theirs[i]["input_ids"])
        is_target = np.array(theirs[i]["labels"]) != -100
        start, stop = part.tokens.offsets[i], part.tokens.offsets[i + 1]
        if not np.array_equal(ids, part.tokens[i]) or not np.array_equal(
            is_target, part.is_target[start:stop]
        ):
            wrong.append(int(part.rows[i]))
    return wrong, abs(len(part) - len(theirs))


def _losses(trainer: Any, source: Source, part: SplitData, num_rows: int) -> dict[str, float]:
    """Mean losses per supervised token, and the greatest relative difference of one row."""
    rows = range(min(num_rows, len(part)))
    counts = part.target_counts[: len(rows)].astype(np.float64)
    theirs = []
    model = trainer.model.eval()
    with torch.no_grad():
        for row in trainer.train_dataset.select(rows):
            inputs = trainer.data_collator([row])
            theirs.append(float(trainer.compute_loss(model, inputs)))
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    tokens = Ragged.from_rows([part.tokens[i] for i in rows])
    plan = BatchPlan(
        tokens,
        part.is_target[: tokens.offsets[-1]],
        rows_per_step=1,
        max_length=_LONGEST,
        pad_id=int(base.tokenizer.pad_token_id),
    )
    with Cohort(base, [], 1) as cohort:
        ours = example_nlls(cohort, 0, TokenSource(base.device), plan, rows=1) / counts
    means = np.array(theirs)
    return {
        "loss_rows": len(rows),
        "loss_of_trl": float((means * counts).sum() / counts.sum()),
        "loss_of_bakeoff": float((ours * counts).sum() / counts.sum()),
        "greatest_difference": float(np.max(np.abs(ours - means) / means)),
    }


if __name__ == "__main__":
    sys.exit(main())
