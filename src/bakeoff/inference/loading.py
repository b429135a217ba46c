"""How an export is loaded, in code that others can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bakeoff.base.weights.folder import auto_class
from bakeoff.inference.finished import Kept
from bakeoff.inference.gguf_lora import FILE as GGUF_FILE
from bakeoff.inference.naming import BASE_FOLDER, BaseName

_NOTHING: Final[Mapping[str, Any]] = {}
DOWNLOAD: Final = "hf download"
REPO: Final = "owner/name"
"""Stands in a card for a repository that is not known yet."""
_VLLM_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM's ``--max-lora-rank`` takes, from its default region on."""


def how_to_load(
    folder: str,
    base: BaseName,
    adapter: Mapping[str, Any],
    *,
    is_merged: bool,
    kept: Kept,
    conversion: Mapping[str, Any] = _NOTHING,
) -> list[str]:
    """Lines of Markdown.

    Args:
        folder: the export's name. base: its base. adapter: its ``adapter_config.json``.
        is_merged: whether it is a whole model. kept: the candidate.
        conversion: what was left out of the candidate, if anything was.
    """
    place = [
        f"`{DOWNLOAD} {REPO} --local-dir {folder}` brings this folder from the hub.",
        "",
        "```python",
        f'folder = "{folder}"',
        "```",
        "",
    ]
    if is_merged:
        whole = _merged(_loader(kept))
        return [*place, "**Transformers**", "", *whole, "", "**vLLM**", "", *_serve(folder)]
    return [
        *place,
        "**PEFT**",
        "",
        *_peft(base, _loader(kept)),
        "",
        "**Transformers** (merged)",
        "",
        *_to_merge(kept, is_converted=bool(conversion)),
        "",
        "**vLLM**",
        "",
        *_vllm(folder, base, adapter, kept),
        *(
            ["", "**llama.cpp**", "", *_llama(folder)]
            if conversion.get("to") == "gguf-lora"
            else []
        ),
    ]


def _loader(kept: Kept) -> str:
    """The name of Transformers' class that loads the base."""
    name: str = auto_class(kept.method.base.source.model.config).__name__
    return name


def _merged(loader: str) -> list[str]:
    return [
        "```python",
        f"from transformers import {loader}, AutoTokenizer",
        "",
        f"model = {loader}.from_pretrained(folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "```",
    ]


def _serve(folder: str) -> list[str]:
    return ["```", f"vllm serve {folder}", "```"]


def _peft(base: BaseName, loader: str) -> list[str]:
    revision = "" if base.revision is None else f', revision="{base.revision}"'
    named = f'f"{{folder}}/{BASE_FOLDER}"' if base.beside else f'"{base.path}"{revision}'
    return [
        "```python",
        "from peft import PeftModel",
        f"from transformers import {loader}, AutoTokenizer",
        "",
        f"base = {loader}.from_pretrained({named})",
        "model = PeftModel.from_pretrained(base, folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "```",
    ]


def _to_merge(kept: Kept, *, is_converted: bool) -> list[str]:
    if not kept.method.is_mergeable():
        return [
            "What this method learns is no weight of the base, so it cannot be merged; PEFT's "
            "model is used as any other of Transformers."
        ]
    same = f"`bakeoff export RUN --to merged --candidate {kept.id} --out merged` writes "
    same += "the candidate itself, before it was converted." if is_converted else "the same."
    return [
        "```python",
        "merged = model.merge_and_unload()  # an ordinary Transformers model",
        'merged.save_pretrained("merged")',
        "```",
        "",
        same,
    ]


def _llama(folder: str) -> list[str]:
    return [
        "Over the base in GGUF, which llama.cpp's `convert_hf_to_gguf.py` writes:",
        "",
        "```",
        f"llama-server --model BASE.gguf --lora {folder}/{GGUF_FILE}",
        "```",
    ]


def _vllm(folder: str, base: BaseName, adapter: Mapping[str, Any], kept: Kept) -> list[str]:
    is_plain = not adapter.get("use_dora") and not adapter.get("target_parameters")
    is_lora = adapter.get("peft_type") == "LORA" and is_plain
    ranks = [adapter.get("r"), *(adapter.get("rank_pattern") or {}).values()]
    rank = max((r for r in ranks if isinstance(r, int)), default=0)
    most = next((value for value in _VLLM_RANKS if value >= rank), None)
    if not is_lora or most is None:
        other = (
            " Merge it as above, and serve the merged model: `vllm serve merged`."
            if kept.method.is_mergeable()
            else ""
        )
        return [f"vLLM serves adapters of plain LoRA only, which this is not.{other}"]
    named = f"{folder}/{BASE_FOLDER}" if base.beside else base.path
    return [
        "Where vLLM knows the base's architecture:",
        "",
        "```",
        f"vllm serve {named} --enable-lora --max-lora-rank {most} \\",
        f"  --lora-modules tuned={folder}",
        "```",
    ]
