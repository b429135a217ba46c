"""What a careful user would write by hand: Transformers, PEFT, a loop.

Axis letters: ``B`` rows, ``T`` tokens.
"""

from __future__ import annotations

import copy
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.specs.contract import FileFormat
from engines.measuring import Engine, SkippedError
from engines.workload import LEARNING_RATE, Labelled, Workload

WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0


def tuned_copy(
    model: PreTrainedModel,
    name: str,
    device: torch.device,
    change: Callable[[Any], None] | None = None,
) -> nn.Module:
    """A copy of the base with one method's trained parameters, all others frozen.

    Args:
        model: the base. name: of the method, one of ``ours.METHODS``; ``none`` trains nothing.
        device: where the copy goes.
        change: alters the copy before the method is put in.
    """
    twin: Any = copy.deepcopy(model)
    if change is not None:
        change(twin)
    found = tuned(twin, name)
    nn.Module.to(found, device)
    return found


def tuned(model: PreTrainedModel, name: str) -> nn.Module:
    """A base with one method's trained parameters put in, all others frozen.

    Args:
        model: the base, which is changed. name: of the method, as in ``tuned_copy``.
    """
    base: Any = model
    base.requires_grad_(name == "full")
    found: nn.Module = base
    if name in ("lora", "lora-all"):
        targets = "all-linear" if name == "lora-all" else None
        found = get_peft_model(
            base, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=8, target_modules=targets)
        )
    elif name == "soft_prompt":
        found = get_peft_model(
            base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=12)
        )
    elif name == "head":
        head: Any = base.get_output_embeddings()
        head.weight = nn.Parameter(head.weight.detach().clone())
    elif name == "head-tied":
        base.get_output_embeddings().requires_grad_(True)
    return found


def adopt(tuned: nn.Module, method: Method, tensors: Tensors) -> None:
    """Gives a rival's model the engine's tensors: through PEFT's own file where there is one."""
    if method.file_format is not FileFormat.PEFT:
        with torch.no_grad():
            for name, tensor in method.merged_weights(tensors).items():
                tuned.get_parameter(name).copy_(tensor)
        return
    with tempfile.TemporaryDirectory() as folder:
        method.save(tensors, Path(folder))
        state = load_file(Path(folder) / "adapter_model.safetensors")
    set_peft_model_state_dict(tuned, state)


class PlainLoop(Engine):
    """Transformers with PEFT: logits of all positions, the model's own loss, one candidate.

    Args:
        model: the base, copied. name: of the method.
        work: what is learnt from; its format is that of autocast, float32 means none.
        start: the method on the engine's base, and the tensors to begin with.
        compiled: whether ``torch.compile`` wraps the model.
        liger: whether Liger's kernels replace the model's own.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        name: str,
        work: Workload,
        start: tuple[Method, Tensors],
        *,
        dtype: torch.dtype,
        compiled: bool = False,
        liger: bool = False,
    ) -> None:
        super().__init__(work.device)
        self.work, self.dtype = work, dtype
        # What is compiled runs as it is under a trace, if at all.
        self.is_traceable = not compiled
        kernels = LigerKernels() if liger else None
        self.model = tuned_copy(model, name, work.device, kernels)
        adopt(self.model, *start)
        self.model.train()
        self._around: Callable[[], AbstractContextManager[None]] = (
            nullcontext if kernels is None else kernels.in_place
        )
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self._forward: Any = torch.compile(self.model) if compiled else self.model

    def step(self, index: int) -> float:
        """One update; returns the mean NLL of the step's supervised tokens."""
        batches = self.work.labelled(index)
        count = sum(batch.num_supervised for batch in batches)
        total = torch.zeros((), device=self.device)
        with self._around():
            for batch in batches:
                loss = self._loss(batch) * (batch.num_supervised / count)
                loss.backward()
                total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self._trained, CLIP_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(total)

    @torch.no_grad()
    def evaluate(self, rows: int) -> float:
        """Mean NLL over the validation examples, in batches of ``rows``."""
        self.model.eval()
        total = torch.zeros((), device=self.device)
        count = 0
        with self._around():
            for batch in self.work.labelled_validation(rows):
                total += self._loss(batch) * batch.num_supervised
                count += batch.num_supervised
        self.model.train()
        return float(total / count)

    def _loss(self, batch: Labelled) -> Tensor:
        enabled = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled):
            loss: Tensor = self._forward(
                input_ids=batch.ids_BT, attention_mask=batch.mask_BT, labels=batch.labels_BT
            ).loss
        return loss


class LigerKernels:
    """Puts Liger's kernels into one model, and keeps them from all others.

    Liger replaces some of a model's parts in the instance and some functions in the module that
    all models of the architecture share; the latter are in place inside ``in_place`` only.
    """

    def __init__(self) -> None:
        self._module: Any = None
        self._replaced: dict[str, Any] = {}

    def __call__(self, model: PreTrainedModel) -> None:
        """Changes ``model``.

        Raises:
            SkippedError: if Liger is not here, or does not know the architecture.
        """
        if importlib.util.find_spec("liger_kernel") is None:
            raise SkippedError("liger_kernel is not installed")
        from liger_kernel.transformers import monkey_patch

        kind = model.config.model_type
        if kind not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
            raise SkippedError(f"Liger has no kernels for {kind}")
        self._module = sys.modules[type(model).__module__]
        before = dict(vars(self._module))
        monkey_patch._apply_liger_kernel_to_instance(model=model)
        after = dict(vars(self._module))
        self._replaced = {k: v for k, v in after.items() if before.get(k) is not v}
        self._set({name: before[name] for name in self._replaced if name in before})

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the shared functions are Liger's."""
        before = {name: getattr(self._module, name) for name in self._replaced}
        self._set(self._replaced)
        try:
            yield
        finally:
            self._set(before)

    def _set(self, functions: dict[str, Any]) -> None:
        for name, function in functions.items():
            setattr(self._module, name, function)


def plain_loops(
    model: PreTrainedModel,
    name: str,
    work: Workload,
    start: tuple[Method, Tensors],
    *,
    compiled: bool,
) -> dict[str, Callable[[], PlainLoop]]:
    """How to build each form of the plain loop that this machine and format have a use for."""
    build = partial(PlainLoop, model, name, work, start)
    loops = {"plain": partial(build, dtype=work.dtype)}
    if work.dtype != torch.float32:
        loops["plain float32"] = partial(build, dtype=torch.float32)
    if compiled:
        loops["plain+compile"] = partial(build, dtype=work.dtype, compiled=True)
    if work.device.type == "cuda":
        loops["plain+liger"] = partial(build, dtype=work.dtype, liger=True)
    return {**loops}
