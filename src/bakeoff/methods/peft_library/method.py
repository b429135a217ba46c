"""Any other method of the installed PEFT: wraps a copy of the base and trains alone.

PEFT's code is the method; loop, protocol, measurement and report are those of all others.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.config import to_mapping
from bakeoff.errors import BaseModelError, ConfigError
from bakeoff.methods.contract import ExecutionPath, Method, Tensors
from bakeoff.methods.files import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    check_settings,
    read_tensors,
    write_peft_config,
    write_tensors,
)
from bakeoff.methods.specs.peft import (
    SPEC,
    PeftOptions,
    config_class,
    read_peft_options,
)

_FROZEN_SEED = 0
"""What PEFT draws and does not train is drawn from this seed wherever a copy is wrapped."""
_PROBE_LENGTH = 4
_FREE_SETTINGS = frozenset(
    {
        *("target_modules", "inference_mode", "peft_version", "revision"),
        # One base has many paths, and what an adapter computes does not depend on its task.
        *("base_model_name_or_path", "task_type"),
    }
)


class PeftMethod(Method):
    """One of PEFT's methods on one base."""

    spec = SPEC
    options: PeftOptions

    def __init__(self, options: PeftOptions, base: Base, *, where: str) -> None:
        super().__init__(options, base, where=where)
        if options.peft_type is None:
            options = read_peft_options({}, path=where)
        for field in fields(options):
            value = getattr(options, field.name)
            if "dropout" in field.name and isinstance(value, float) and value > 0:
                raise ConfigError(
                    f"{where}.{field.name}: {value:g} has no effect, as the base trains in "
                    "evaluation mode; set it to 0"
                )
        # Copies are made where they are needed and dropped: each is as large as the base.
        own, wrapped = self.private_base()
        self._shapes = {name: tuple(p.shape) for name, p in trained_parameters(wrapped).items()}
        if not self._shapes:
            raise ConfigError(f"{where}: {options.peft_type} with these fields trains nothing")
        if base.has_values:
            self._probe(own, trained_parameters(wrapped))

    @property
    def execution_path(self) -> ExecutionPath:
        """A copy of the base, alone."""
        return ExecutionPath.OWN_BASE

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What PEFT sets to be trained, by PEFT's names."""
        return self._shapes

    def wrap(self, model: PreTrainedModel, seed: int = _FROZEN_SEED) -> Any:
        """PEFT's model around ``model``, whose layers are replaced in place.

        Args:
            model: a copy that is this method's own.
            seed: of what PEFT draws.

        Raises:
            ConfigError: in PEFT's words, where it refuses.
        """
        from peft import get_peft_model

        settings = {k: v for k, v in to_mapping(self.options).items() if k != "peft_type"}
        with silence_libraries(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            try:
                config = config_class(str(self.options.peft_type))(
                    task_type="CAUSAL_LM", **copy.deepcopy(settings)
                )
                wrapped = get_peft_model(model, config)
                _prune(wrapped)
            except Exception as error:  # each type of PEFT's has checks and kinds of its own
                raise ConfigError(
                    f"{self.where}: PEFT refuses {self.options.peft_type} on "
                    f"{self.base.source.reference} ({type(error).__name__}: {error}); see its "
                    "documentation for the fields of this type"
                ) from error
        config.base_model_name_or_path = self.base.source.reference
        return wrapped.eval()

    def private_base(self, seed: int = _FROZEN_SEED) -> tuple[Base, Any]:
        """(a copy of the base on its device, PEFT's model around it).

        Args:
            seed: of what PEFT draws.

        Raises:
            ConfigError: where PEFT refuses, or replaces what the engine drives itself.
        """
        try:
            return self.base.private_copy(lambda model: self.wrap(model, seed))
        except BaseModelError:
            raise ConfigError(
                f"{self.where}: {self.options.peft_type} replaces the embedding or the head, which "
                "a study's loop computes itself; give target_modules without them"
            ) from None

    def _probe(self, base: Base, trained: Mapping[str, Tensor]) -> None:
        """Sees whether the pass that a study's loop makes goes through what is trained.

        Args:
            base: the wrapped copy. trained: its parameters.

        Raises:
            ConfigError: if the type needs a forward pass of its own.
        """
        ids = torch.arange(1, 1 + _PROBE_LENGTH, device=base.device)[None]
        reason = "no gradient reaches what it trains"
        try:
            hidden = base.hidden_states(
                base.embedding(ids), torch.arange(ids.shape[1])[None].to(ids)
            )
            base.logits(hidden).logsumexp(dim=-1).sum().backward()
            reached = any(p.grad is not None and bool(p.grad.any()) for p in trained.values())
        except Exception as error:  # whatever a type of PEFT's needs and does not find
            reached, reason = False, f"{type(error).__name__}: {error}"
        if not reached:
            raise ConfigError(
                f"{self.where}: {self.options.peft_type} does not work in a study's loop, which "
                f"drives the model's layers and not PEFT's own forward pass ({reason}); choose "
                "another type"
            )

    def initial(self, generator: torch.Generator) -> Tensors:
        """As PEFT draws it."""
        drawn = torch.randint(2**62, (1,), generator=generator)
        _, wrapped = self.private_base(int(drawn) if self.base.has_values else 0)
        return _taken(wrapped)

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""
        from peft.utils import get_peft_model_state_dict

        _, wrapped = self.private_base()
        fill(wrapped, tensors)
        config = wrapped.peft_config["default"]
        config.inference_mode = True
        write_peft_config(config, folder)
        state = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
        write_tensors({n: t.clone() for n, t in state.items()}, folder / PEFT_WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads PEFT's files back."""
        from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

        _, wrapped = self.private_base()
        expected = wrapped.peft_config["default"].to_dict()
        check_settings(
            folder / PEFT_CONFIG,
            {
                key: str(value.value) if key == "peft_type" else value
                for key, value in expected.items()
                if key not in _FREE_SETTINGS
                and "dropout" not in key  # nothing drops out once it is trained
                and (key == "peft_type" or isinstance(value, (int, float, str, bool)))
            },
        )
        state = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        found = read_tensors(folder / PEFT_WEIGHTS, shapes)
        if _keeps_some_ranks(wrapped):
            # It has been pruned, and PEFT would prune it once more.
            wrapped.peft_config["default"].rank_pattern = None
        with silence_libraries(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            set_peft_model_state_dict(wrapped, found)
        return _taken(wrapped)

    def merged_weights(self, tensors: Tensors) -> Tensors:
        """The weights that PEFT's own merging gives, where the type has one."""
        wrapped = self.wrap(self.base.whole_copy())
        fill(wrapped, tensors)
        try:
            merged = wrapped.merge_and_unload()
        except Exception as error:  # NotImplementedError, AttributeError, ... by type
            raise ConfigError(
                f"{self.where}: PEFT cannot merge {self.options.peft_type} "
                f"({type(error).__name__}: {error}); use the adapter as it is"
            ) from error
        before = {name for name, _ in self.base.source.model.named_parameters()}
        after = dict(merged.named_parameters())
        if before != set(after):
            raise ConfigError(
                f"{self.where}: merged, {self.options.peft_type} has other parameters than the "
                "base; use the adapter as it is"
            )
        return {
            name: parameter.detach().float()
            for name, parameter in after.items()
            if not torch.equal(parameter, self.base.source_parameter(name))
        }


def _keeps_some_ranks(wrapped: Any) -> bool:
    """Whether its settings say which ranks AdaLoRA has left: files hold those alone."""
    config = wrapped.peft_config["default"]
    return config.peft_type.value == "ADALORA" and bool(config.rank_pattern)


def _prune(wrapped: Any) -> None:
    """Takes away the ranks that AdaLoRA has given up, as PEFT does when it loads such files.

    Done wherever a copy is wrapped, so that all copies have the shapes of the files.
    """
    if _keeps_some_ranks(wrapped):
        pattern = wrapped.peft_config["default"].rank_pattern
        wrapped.base_model.resize_modules_by_rank_pattern(pattern, "default")


def trained_parameters(wrapped: Any) -> dict[str, Tensor]:
    """What PEFT sets to be trained, by its name in PEFT's model, shared ones once."""
    return {name: p for name, p in wrapped.named_parameters() if p.requires_grad}


def _taken(wrapped: Any) -> Tensors:
    """Copies the trained parameters out, float32 on the CPU."""
    return {
        name: parameter.detach().float().to("cpu", copy=True)
        for name, parameter in trained_parameters(wrapped).items()
    }


@torch.no_grad()
def fill(wrapped: Any, tensors: Mapping[str, Tensor]) -> None:
    """Copies a candidate's tensors into a wrapped model."""
    parameters = dict(wrapped.named_parameters())
    for name, tensor in tensors.items():
        parameters[name].copy_(tensor)
