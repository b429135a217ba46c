"""Where the harness takes hold of the package: bases, methods, plans, and what has no values.

Imports of the package stand here, and those of its engine in ``actions.py``, ``probes.py`` and
``budgets.py``.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    Gemma3TextConfig,
    GPTNeoConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen3Config,
)

from bakeoff.base.attention import windows
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import BYTE_VOCABULARY_SIZE, byte_tokenizer, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.methods import bitfit, last_layers
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type
from tests.fake_cuda.cases import METHODS
from tests.fake_cuda.device import CUDA, install, real
from tests.plans import joined

_END: Final = BYTE_VOCABULARY_SIZE - 1
_POSITIONS: Final = 128
_SEED: Final = 7
FORMATS: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_LLAMA_LIKE: Final[dict[str, Any]] = {
    "vocab_size": BYTE_VOCABULARY_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": _POSITIONS,
    "tie_word_embeddings": True,
}


def _neo(**changes: Any) -> PreTrainedConfig:
    given: dict[str, Any] = {
        "vocab_size": BYTE_VOCABULARY_SIZE,
        "max_position_embeddings": _POSITIONS,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 16,
        "tie_word_embeddings": True,
    }
    return GPTNeoConfig(**{**given, **changes})


def _longrope() -> PreTrainedConfig:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [1.0] * 4,
        "original_max_position_embeddings": 64,
    }
    return Phi3Config(**{**_LLAMA_LIKE, "pad_token_id": _END}, rope_parameters=rope)


def _dynamic() -> PreTrainedConfig:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    return LlamaConfig(**_LLAMA_LIKE, rope_parameters=rope)


CONFIGS: Final[dict[str, Callable[[], PreTrainedConfig]]] = {
    "gpt_neo": _neo,
    "llama": lambda: LlamaConfig(**_LLAMA_LIKE),
    "qwen3": lambda: Qwen3Config(**_LLAMA_LIKE, head_dim=8),
    "gemma3": lambda: Gemma3TextConfig(
        **_LLAMA_LIKE, head_dim=8, query_pre_attn_scalar=8, sliding_window=16, pad_token_id=_END
    ),
    "llama-dynamic-rope": _dynamic,
    "phi3-longrope": _longrope,
    # Large enough that activations, and not small change, decide on the memory.
    "gpt_neo-wide": lambda: _neo(hidden_size=256, num_heads=4),
    "llama-wide": lambda: LlamaConfig(
        **{**_LLAMA_LIKE, "hidden_size": 256, "intermediate_size": 512}
    ),
}
"""The four bases of the matrix, and those of single tests."""


def prepare() -> None:
    """Puts the device in place, and leaves out what would look at values. Once a process."""
    # PEFT loads bitsandbytes where it is installed, which asks PyTorch for what a CPU's has not;
    # so both are loaded before a device is claimed.
    importlib.import_module("peft")
    install()
    windows.knows_windows = lambda device, dtype, width: True  # the flash kernel of a real card
    for module in (bitfit, last_layers):
        module.check_normalise = lambda *_: None  # type: ignore[attr-defined]
    _Base: Any = Base
    _Base.has_values = property(lambda self: False)
    _wrap_really()


def _wrap_really() -> None:
    """PEFT draws what it adds to the model on the CPU, before the model moves to the device."""
    import peft

    wrap = peft.get_peft_model

    def wrapped(*arguments: Any, **settings: Any) -> Any:
        with real():
            return wrap(*arguments, **settings)

    _peft: Any = peft
    _peft.get_peft_model = wrapped


@cache
def source_of(name: str) -> Source:
    """A random base on the CPU, checked against Transformers' own logits."""
    config = CONFIGS[name]()
    config.bos_token_id = config.eos_token_id = config.pad_token_id = _END
    with real():
        source = Source(
            reference=f"test:{name}",
            model=scratch_model(config, _SEED),
            tokenizer=byte_tokenizer(_POSITIONS),
            fingerprint=name,
            description=name,
        )
        Base(source, device=torch.device("cpu"), dtype=torch.float32)
    return source


def base_of(name: str, dtype: str) -> Base:
    """The base on the device of shapes; call it inside of ``fake_device``."""
    return Base(copy.copy(source_of(name)), device=CUDA, dtype=FORMATS[dtype], probe=False)


def method_of(base: Base, name: str) -> Method:
    """A method of the matrix on a base."""
    kind, options = METHODS[name]
    chosen = method_type(kind, where=f"methods.{name}")
    where = f"methods.{name}"
    return chosen(chosen.read_options(options, path=where), base, where=where)


def trains_alone(method: Method) -> bool:
    """Whether its cohort has one slot."""
    return method.execution_path.name == "OWN_BASE"


def rows(count: int, lengths: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Rows of random ids below the end token, of random lengths, both ends included."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(lengths[0], lengths[1] + 1, size=count)
    return [draw.integers(0, _END, size=size, dtype=np.int32) for size in sizes]


def examples_of(count: int, prompt: tuple[int, int] = (18, 24)) -> tuple[Ragged, NDArray[np.bool_]]:
    """Ragged rows, and which of their tokens are learnt."""
    completions = [np.append(row, np.int32(_END)) for row in rows(count, (2, 10), 1)]
    return joined(rows(count, prompt, 2), completions)


def plan_of(
    count: int, *, rows_per_step: int = 2, max_length: int = 72, prompt: tuple[int, int] = (18, 24)
) -> BatchPlan:
    """Ragged examples; with prompts of about one length all rectangles have the same width."""
    return BatchPlan(
        *examples_of(count, prompt),
        rows_per_step=rows_per_step,
        max_length=max_length,
        pad_id=_END,
    )
