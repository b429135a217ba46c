"""What a piece of the engine's work would hold and compute, found without doing it.

Inside ``traced()`` tensors are fake: they have shapes and no values, every operation costs a
fraction of a millisecond whatever its size, and nothing is allocated. A ``Trace`` watches the
operations and adds up the bytes that live tensors hold, the arithmetic, and the bytes moved.

What kernels take inside one operation, such as a packed copy of a weight, is not seen.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from bakeoff.base.attention.windows import masks_apart
from bakeoff.base.devices import GpuProfile, standing_for
from bakeoff.engine.backends.gpu_kernels import GpuAttention

# On the device these only name or reserve memory.
NO_KERNEL: Final = frozenset(
    {
        "_unsafe_view",
        "alias",
        "detach",
        "device",
        "empty",
        "empty_like",
        "empty_strided",
        "lift_fresh",
        "new_empty",
    }
)
# These read of their first input no more than they write.
_GATHERS: Final = frozenset({"embedding", "gather", "index", "index_select"})
_WIDE: Final = (torch.ops.aten.mm, torch.ops.aten.bmm)
_ATTENTION: Final = "_scaled_dot_product_flash_attention_for_cpu"
_DEVICE: Final = torch.ops.prim.device.default
_WINDOWED: Final = ("_flash_attention_forward", "_flash_attention_backward")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What was computed.

    Attributes:
        operations: how many kernels were started, views aside.
        flops: of matrix products and attention, by the format that they were computed in.
        seconds: as the cost function that the trace was given says.
    """

    operations: int
    flops: dict[torch.dtype, float]
    bytes_moved: float
    seconds: float


class Trace(TorchDispatchMode):
    """Watches every operation inside it.

    Args:
        standing: models whose weights are not to be counted, as they are there already.
        cost: (flops, bytes moved, format) of one operation to seconds.
    """

    def __init__(
        self,
        standing: Iterable[nn.Module] = (),
        cost: Callable[[float, float, torch.dtype], float] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cost = cost
        self._live: dict[int, int] = {}
        for model in standing:
            for tensor in (*model.parameters(), *model.buffers()):
                self._live[tensor.untyped_storage()._cdata] = 0
        self.live_bytes = 0
        self.peak_bytes = 0
        self._operations = 0
        self._flops: dict[torch.dtype, float] = {}
        self._moved = 0.0
        self._seconds = 0.0

    def begin(self) -> None:
        """Starts a new stage: the peak is what lives now, and nothing has been computed."""
        self.peak_bytes = self.live_bytes
        self._operations, self._flops, self._moved, self._seconds = 0, {}, 0.0, 0.0

    @property
    def work(self) -> Work:
        """What the present stage has computed."""
        return Work(
            operations=self._operations,
            flops=dict(self._flops),
            bytes_moved=self._moved,
            seconds=self._seconds,
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _DEVICE and _is_outside_of_kernels(args[0]):
            return args[0].fake_device  # as its world says; most calls ask for this alone
        packet = func.overloadpacket
        if packet is torch.ops.aten._local_scalar_dense and isinstance(args[0], FakeTensor):
            # Code that asks for a number that is not known goes on as if nothing had happened: no
            # row is finished, no loss is infinite.
            return _neutral(args[0].dtype)
        result = func(*args, **kwargs)
        outputs = [t for t in tree_iter(result) if isinstance(t, Tensor)]
        for tensor in outputs:
            self._hold(tensor)
        if not func.is_view and outputs and packet.__name__ not in NO_KERNEL:
            self._count(packet, args, kwargs, result, outputs)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._live:
            self._live[key] = size = storage.nbytes()
            self.live_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.live_bytes -= self._live.pop(key, 0)

    def _count(
        self, packet: Any, args: Any, kwargs: Any, result: Any, outputs: list[Tensor]
    ) -> None:
        inputs = [t for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)]
        name = packet.__name__
        moved = bytes_moved(name, inputs, outputs)
        flops = 0.0
        if name.startswith(_WINDOWED):
            flops = _windowed_flops(args, backward=name.endswith("_backward"))
        elif packet in flop_registry:
            # Of two products, one says its output's format besides.
            args = args[:2] if packet in _WIDE else args
            flops = float(flop_registry[packet](*args, **kwargs, out_val=result))
        elif packet is torch.ops.bakeoff.add_wide_product:
            flops = 2.0 * args[1].numel() * args[2].shape[-1]
        elif name.startswith(_ATTENTION):
            flops = _attention_flops(args, backward=name.endswith("_backward"))
        dtype = outputs[0].dtype
        if flops:
            # A product is as fast as its operands' format, whatever it is written in.
            dtype = min((t.dtype for t in inputs), key=lambda found: found.itemsize)
            self._flops[dtype] = self._flops.get(dtype, 0.0) + flops
        self._operations += 1
        self._moved += moved
        if self._cost is not None:
            self._seconds += self._cost(flops, moved, dtype)


def bytes_moved(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """What an operation reads and writes, if each tensor passes once.

    Args:
        name: of the operation, without its overload. inputs, outputs: its tensors; one that is
            given to be written into (``out``) may be among both.
    """
    made = {id(tensor) for tensor in outputs}
    written = sum(_bytes(t) for t in outputs)
    if name in _GATHERS:
        return 2 * written
    # What is changed in place is read, too; what is only given as a place is not.
    is_in_place = name.endswith("_")
    return written + sum(_bytes(t) for t in inputs if is_in_place or id(t) not in made)


def fake_world() -> FakeTensorMode:
    """What fake tensors belong to; those of another world are taken for new ones."""
    return FakeTensorMode(allow_non_fake_inputs=True)


@contextmanager
def traced(world: FakeTensorMode | None = None, *, gpu: GpuProfile | None = None) -> Iterator[None]:
    """Tensors made inside have no values; real ones that come in are taken by their shape.

    Args:
        world: that of tensors made earlier; a new one without.
        gpu: what the trace simulates; None traces passes as they are.
    """
    # With more threads narrow bases compute in workers, and a trace sees the calling thread alone.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExitStack() as stack:
            stack.enter_context(_traced(world or fake_world()))
            if gpu is not None:
                stack.enter_context(standing_for(gpu))
                stack.enter_context(GpuAttention(gpu))
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _traced(world: FakeTensorMode) -> Iterator[None]:
    with warnings.catch_warnings():
        # Transformers asks a tensor for its address, which a fake one answers with a warning.
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        with masks_apart(), world:
            yield


def _is_outside_of_kernels(tensor: Tensor) -> bool:
    return isinstance(tensor, FakeTensor) and not tensor.fake_mode.in_kernel_invocation


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _neutral(dtype: torch.dtype) -> bool | int | float:
    if dtype == torch.bool:
        return False
    return 0.0 if dtype.is_floating_point else 0


def _attention_flops(args: Any, *, backward: bool) -> float:
    """Two products of every query with every key; five in the backward pass."""
    query_BHTC, key_BHSC = (args[1], args[2]) if backward else (args[0], args[1])
    rows, heads, queries, width = query_BHTC.shape
    return float((10 if backward else 4) * rows * heads * queries * key_BHSC.shape[2] * width)


def _windowed_flops(args: Any, *, backward: bool) -> float:
    """As ``_attention_flops``, of the flash kernel's own layout."""
    query_BTHC, key_BSHC = (args[1], args[2]) if backward else (args[0], args[1])
    rows, queries, heads, width = query_BTHC.shape
    return float((10 if backward else 4) * rows * heads * queries * key_BSHC.shape[1] * width)
