"""A CUDA device of shapes: stands in for ``torch.cuda`` and for what PyTorch decides in C++.

``install`` changes PyTorch for the rest of the process; nothing here knows the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import _disable_current_modes

from tests.fake_cuda.watch import (
    RECORD,
    Watch,
    answer,
    capturing,
    forbidden_in_capture,
    waits_for_device,
)

CUDA: Final = torch.device("cuda")
_FREE, _TOTAL = 70 << 30, 80 << 30
_torch: Final[Any] = torch


class _Stream:
    """One of any number of streams; nothing runs on it."""

    def __init__(self, *arguments: object, **settings: object) -> None: ...

    def wait_stream(self, other: _Stream) -> None: ...

    def synchronize(self) -> None:
        waits_for_device("Stream.synchronize")


class _Graph:
    """A captured graph, of which only replays are seen."""

    def __init__(self, *arguments: object, **settings: object) -> None: ...

    def replay(self) -> None:
        RECORD.replays += 1

    def reset(self) -> None: ...

    def pool(self) -> tuple[int, int]:
        return (0, 1)


@contextmanager
def _graph(graph: _Graph, *arguments: object, **settings: object) -> Iterator[None]:
    with capturing():
        yield


@contextmanager
def _on_stream(stream: _Stream) -> Iterator[None]:
    yield


@contextmanager
def fake_device(*, memory: bool = False) -> Iterator[None]:
    """Makes tensors inside fake and watches them; ``memory`` follows their storages too."""
    with FakeTensorMode(allow_non_fake_inputs=True), Watch(memory=memory):
        yield


def real() -> Any:
    """A context in which tensors have values, on the CPU."""
    return _disable_current_modes()


def install() -> None:
    """Puts the device in the place of the one that is not there."""
    _install_cuda()
    _install_answers()
    _install_copies()
    _functional: Any = F
    _functional.scaled_dot_product_attention = _attention(F.scaled_dot_product_attention)
    # Small tensors would keep their values, and answer questions without waiting.
    _fake: Any = fake_tensor
    _fake.CONSTANT_NUMEL_LIMIT = -1
    # As where no device is: what a list becomes is made on the CPU and copied from there.
    _fake.FakeTensorMode.avoid_device_init = property(lambda self: True)


def _install_cuda() -> None:
    cuda: Any = torch.cuda
    stream = _Stream()
    for name, value in {
        "Stream": _Stream,
        "CUDAGraph": _Graph,
        "graph": _graph,
        "stream": _on_stream,
        "current_stream": lambda *a, **k: stream,
        "set_stream": lambda *a, **k: None,
        "default_stream": lambda *a, **k: stream,
        "graph_pool_handle": lambda: (0, 1),
        "synchronize": lambda *a, **k: waits_for_device("synchronize"),
        "empty_cache": lambda: forbidden_in_capture("empty_cache"),
        "mem_get_info": lambda *a: (_FREE, _TOTAL),
        "memory_allocated": lambda *a: RECORD.live_bytes,
        "memory_reserved": lambda *a: RECORD.live_bytes,
        "max_memory_allocated": lambda *a: RECORD.peak_bytes,
        "reset_peak_memory_stats": lambda *a: None,
        "get_device_capability": lambda *a: (9, 0),
        "get_device_name": lambda *a: "fake",
        "current_device": lambda: 0,
        "_exchange_device": lambda device: 0,
        "_maybe_exchange_device": lambda device: 0,
        "device_count": lambda: 1,
        "is_available": lambda: True,
        "is_bf16_supported": lambda *a, **k: True,
        "is_current_stream_capturing": _is_capturing,
        "is_initialized": lambda: False,
        "get_rng_state": _rng_state,
        "set_rng_state": lambda *a, **k: None,
        "_lazy_init": lambda: None,
    }.items():
        setattr(cuda, name, value)
    _torch.accelerator.is_available = lambda: False
    _torch.amp.autocast_mode.amp_definitely_not_available = lambda: False


def _rng_state(*arguments: object, **settings: object) -> Tensor:
    forbidden_in_capture("get_rng_state")
    return torch.zeros(16, dtype=torch.uint8)


def _is_capturing() -> bool:
    from tests.fake_cuda import watch

    return watch._mode.is_capturing


def _install_answers() -> None:
    """Reading a tensor gives ones; asking the device for them waits."""
    tensor: Any = Tensor
    fake: Any = FakeTensor
    to_numpy = Tensor.numpy

    def asked(self: Tensor, what: str) -> Any:
        if self.device.type == "cuda":
            waits_for_device(what)
        return np.full(tuple(self.shape), answer(self.dtype))

    fake.tolist = lambda self: asked(self, "tolist()").tolist()
    tensor.numpy = lambda self, **k: (
        asked(self, "numpy()") if isinstance(self, FakeTensor) else to_numpy(self, **k)
    )

    def pinned(self: Tensor, *arguments: object) -> Tensor:
        forbidden_in_capture("pin_memory")
        return torch.empty(self.shape, dtype=self.dtype)

    tensor.pin_memory = pinned
    get, put = Tensor.__getitem__, Tensor.__setitem__

    def index(self: Tensor, given: Any) -> Any:
        """A Python list is copied to the device, which PyTorch does before any mode sees it."""
        if isinstance(given, list) and self.device.type == "cuda":
            waits_for_device("an index by a Python list")
            return torch.empty(len(given), dtype=torch.int64, device=CUDA)
        return given

    tensor.__getitem__ = lambda self, i: get(self, index(self, i))
    tensor.__setitem__ = lambda self, i, value: put(self, index(self, i), value)


def _install_copies() -> None:
    """Copies of real tensors stay real; a module that moves to the device becomes fake."""
    for kind in (Tensor, nn.Parameter):
        own: Any = kind.__deepcopy__
        _set_deepcopy(kind, own)
    module: Any = nn.Module
    real_to = nn.Module.to

    def to(self: nn.Module, *arguments: Any, **settings: Any) -> nn.Module:
        device, dtype, *_ = _torch._C._nn._parse_to(*arguments, **settings)
        if device is None or device.type != "cuda":
            return real_to(self, *arguments, **settings)
        moved: dict[int, Tensor] = {}
        for part in self.modules():
            both: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
            for held in both:
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = moved.setdefault(id(tensor), _on_device(tensor, dtype))
        return self

    module.to = to


def _set_deepcopy(kind: Any, own: Callable[..., Tensor]) -> None:
    def copied(self: Tensor, memo: dict[int, Any]) -> Tensor:
        if isinstance(self, FakeTensor):
            return own(self, memo)
        with _disable_current_modes():
            return own(self, memo)

    kind.__deepcopy__ = copied


def _on_device(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    kept = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    made = torch.empty(tensor.shape, dtype=kept, device=CUDA)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made


def _attention(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What CUDA's choice among its kernels comes to: by mask, format and grouped heads."""
    aten = torch.ops.aten

    def attention(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        settings: dict[str, Any] = {"attn_mask": attn_mask, "is_causal": is_causal, "scale": scale}
        if q.device.type != "cuda":
            return plain(q, k, v, dropout_p=dropout_p, enable_gqa=enable_gqa, **settings)
        if attn_mask is None and q.dtype != torch.float32:
            RECORD.attention["flash"] += 1
            if enable_gqa:
                times = q.shape[1] // k.shape[1]
                k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
            found: Tensor = aten._scaled_dot_product_flash_attention(
                q, k, v, 0.0, is_causal, False, scale=scale
            )[0]
            return found
        if enable_gqa:
            RECORD.attention["math"] += 1
            return plain(q, k, v, enable_gqa=True, **settings)
        RECORD.attention["efficient"] += 1
        bias = None
        if attn_mask is not None:
            shape = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
            bias = torch.zeros(attn_mask.shape, dtype=q.dtype, device=CUDA).expand(shape)
        output: Tensor = aten._scaled_dot_product_efficient_attention(
            q, k, v, bias, True, 0.0, is_causal, scale=scale
        )[0]
        return output

    return attention
