"""Soft prompt: trained vectors in front of the embedded tokens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bakeoff.base.model import Base
from bakeoff.errors import CheckpointError, ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    check_settings,
    read_tensor,
    read_tensors,
    write_peft_config,
    write_tensors,
)
from bakeoff.methods.prompts.drawn import drawn_ids
from bakeoff.methods.specs.soft_prompt import SPEC, FromAdapter, FromLabels, SoftPromptOptions
from bakeoff.methods.stack import Stack, StackHooks

_TENSOR = "prompt_embeddings"


class SoftPrompt(Method):
    """Prompt tuning on one base."""

    spec = SPEC
    options: SoftPromptOptions

    def __init__(self, options: SoftPromptOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        length, limit = options.prompt_length, base.max_positions
        if length < 1:
            raise ConfigError(
                f"{where}.prompt_length: {length} is below 1; give one vector or more"
            )
        if limit is not None and length >= limit:
            raise ConfigError(
                f"{where}.prompt_length: {length} vectors fill all {limit} positions of the base; "
                f"give fewer than {limit}"
            )
        self._text_ids: list[int] = []
        self._label_ids: list[list[int]] = []
        self._given_PD: Tensor | None = None
        if isinstance(options.init, FromAdapter):
            self._given_PD = self._read(options.init.adapter)
        elif isinstance(options.init, FromLabels):
            self._label_ids = self._ids_of_labels(options.init)
        elif options.init not in ("vocabulary", "random"):
            self._text_ids = base.tokenizer(options.init, add_special_tokens=False)["input_ids"]
            if not self._text_ids:
                raise ConfigError(
                    f"{where}.init: {options.init!r} has no tokens; give a text, 'vocabulary' or "
                    "'random'"
                )
            if (fault := base.unembedded(self._text_ids)) is not None:
                raise ConfigError(f"{where}.init: {fault}; leave it out")

    def _ids_of_labels(self, init: FromLabels) -> list[list[int]]:
        where = f"{self.where}.init.labels"
        if not init.labels:
            raise ConfigError(f"{where}: holds no label; give one or more")
        found = [
            self.base.tokenizer(label, add_special_tokens=False)["input_ids"]
            for label in init.labels
        ]
        for label, ids in zip(init.labels, found, strict=True):
            if not ids:
                raise ConfigError(f"{where}: {label!r} has no tokens; give a word or a text")
            if (fault := self.base.unembedded(ids)) is not None:
                raise ConfigError(f"{where}: {fault}; leave it out")
        return found

    def _read(self, folder: Path) -> Tensor:
        """[any length, D] the vectors of another adapter."""
        where = f"{self.where}.init.adapter"
        for name in (PEFT_CONFIG, PEFT_WEIGHTS):
            path = folder / name
            if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
                raise ConfigError(
                    f"{where}: {folder} has no file {name} of its own; give a folder with a soft "
                    "prompt in PEFT's files"
                )
        try:
            check_settings(folder / PEFT_CONFIG, {"peft_type": "PROMPT_TUNING"})
            vectors_PD = read_tensor(folder / PEFT_WEIGHTS, _TENSOR)
        except CheckpointError as error:
            raise ConfigError(f"{where}: {error}") from None
        width = self.base.embedding_width
        if vectors_PD.dim() != 2 or vectors_PD.shape[1] != width or not len(vectors_PD):
            raise ConfigError(
                f"{where}: {folder / PEFT_WEIGHTS} holds vectors of shape "
                f"{tuple(vectors_PD.shape)}, but the base's embedding has a width of {width}; give "
                "a soft prompt of the same base"
            )
        return vectors_PD

    @property
    def execution_path(self) -> ExecutionPath:
        """Through the shared base."""
        return ExecutionPath.BASE

    @property
    def extra_positions(self) -> int:
        """The prompt's length."""
        return self.options.prompt_length

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """One tensor, [prompt_length, embedding width]."""
        return {_TENSOR: (self.options.prompt_length, self.base.embedding_width)}

    def initial(self, generator: torch.Generator) -> Tensors:
        """As the option ``init`` says; all but texts and adapters draw from ``generator``."""
        # As the base's own layer has it, from the weights as loaded.
        embedding: Any = copy.copy(self.base.embedding)
        embedding._parameters = {"weight": nn.Parameter(self.base.source_embedding, False)}
        # Its own, such as Gemma's scale, are where the base is; the weights are on the CPU.
        embedding._buffers = {
            name: None if b is None else b.cpu() for name, b in embedding._buffers.items()
        }
        length = self.options.prompt_length
        if self._given_PD is not None:
            return {_TENSOR: self._given_PD.repeat(-(-length // len(self._given_PD)), 1)[:length]}
        if self.options.init == "random":
            drawn = torch.randn(self.shapes[_TENSOR], generator=generator)
            # Some embeddings scale their rows on the way out.
            scale = float(getattr(embedding, "embed_scale", 1.0))
            return {_TENSOR: drawn * (embedding.weight.detach().std() * scale)}
        if self._label_ids:
            means = [embedding(torch.tensor(ids)).mean(dim=0) for ids in self._label_ids[:length]]
            drawn = drawn_ids(self.base, length - len(means), generator)
            return {_TENSOR: torch.cat([torch.stack(means), embedding(drawn)]).detach()}
        if self.options.init == "vocabulary":
            ids = drawn_ids(self.base, length, generator)
        else:
            repeats = -(-length // len(self._text_ids))
            ids = torch.tensor(self._text_ids).repeat(repeats)[:length]
        return {_TENSOR: embedding(ids).detach().clone()}

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""
        from peft import PromptTuningConfig

        config = PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.options.prompt_length,
            token_dim=self.base.embedding_width,
            inference_mode=True,
            base_model_name_or_path=self.base.source.reference,
        )
        write_peft_config(config, folder)
        write_tensors(tensors, folder / PEFT_WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads PEFT's files back."""
        check_settings(folder / PEFT_CONFIG, {"peft_type": "PROMPT_TUNING"})
        return read_tensors(folder / PEFT_WEIGHTS, self.shapes)


class SoftPromptStack(Stack):
    """K slots' prompts; shorter ones are followed by unused rows."""

    def __init__(self, base: Base, methods: Sequence[SoftPrompt], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._length = max(method.options.prompt_length for method in methods)
        self._lengths_K = torch.zeros(num_slots, dtype=torch.int64, device=base.device)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The longest prompt's shape."""
        return {_TENSOR: (self._length, self.base.embedding_width)}

    def place(self, slot: int, method: Method, tensors: dict[str, Tensor]) -> None:  # type: ignore[override]
        """Seats a candidate with its own length."""
        super().place(slot, method, tensors)
        self._lengths_K[slot] = method.extra_positions

    def vacate(self, slot: int) -> None:
        """A length of zero: no prompt."""
        self._lengths_K[slot] = 0

    def hooks(self, slots: Sequence[int]) -> StackHooks:
        """The vectors before the tokens."""
        return StackHooks(prompt=partial(self.prompt, slots))

    def prompt(self, slots: Sequence[int]) -> tuple[Tensor, Tensor]:
        """([K, P, D] vectors, [K] how many of them count)."""
        return self.narrowed(self.tensors[_TENSOR], slots), self.narrowed(self._lengths_K, slots)
