"""Rows that each name their slot: any order, any number, nothing copied for a row."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.base.row_groups import present_groups
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.row_pass import RowPass
from bakeoff.methods.contract import Method, Tensors
from tests.engine.reference_choices import METHODS, seated

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

OWN_WEIGHTS: list[tuple[str, dict[str, Any]]] = [
    ("head", {"tied": True}),
    ("last_layers", {"num_layers": 1}),
    ("last_layers", {"num_layers": 2, "head": False}),
]
"""Of other execution paths; they take rows beside those of the shared base."""
LENGTH = 23
ROWS = [3, 0, 3, 14, 1, 2, 3, 9, 8, 7, 6, 5, 4, 10, 11, 12, 13, 0, 13]
"""Their slots: in no order, one to three of each; the last slot is empty."""
Pairs = list[tuple[Method, Tensors]]


@pytest.fixture(scope="module", params=["gpt_neo", "llama", "opt"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture(scope="module")
def pairs(kit: Kit, bench: Bench) -> Pairs:
    methods = [bench.method(kind, **options) for kind, options in METHODS + OWN_WEIGHTS]
    return [(m, kit.perturbed(m, seed=s, spread=0.1)) for s, m in enumerate(methods)]


@pytest.fixture
def cohort(bench: Bench, pairs: Pairs) -> Iterator[Cohort]:
    cohort = Cohort(bench.base, [method for method, _ in pairs], len(pairs) + 1)
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    with cohort, torch.no_grad():
        yield cohort


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.randint(1, 250, (len(ROWS), LENGTH), generator=torch.Generator().manual_seed(3))


def at_tokens(hidden_RTD: Tensor, lengths_R: Tensor | None) -> Tensor:
    """[R, T, D] of the tokens, behind each row's own soft prompt."""
    if lengths_R is None:
        return hidden_RTD
    place_RT = lengths_R[:, None] + torch.arange(LENGTH)
    return hidden_RTD.gather(1, place_RT[..., None].expand(-1, -1, hidden_RTD.shape[2]))


def test_rows_of_all_methods_are_computed_as_each_alone(
    bench: Bench, pairs: Pairs, cohort: Cohort, ids: Tensor
) -> None:
    with RowPass(cohort, ROWS) as rows:
        assert not rows.is_block
        found_RTD = at_tokens(*rows.hidden_states(ids))
        order_R = rows.order_R
    assert [ROWS[row] for row in order_R] == sorted(ROWS)
    assert present_groups() is None
    cohort.__exit__(None, None, None)
    for slot in range(len(pairs) + 1):
        mine = [row for row, named in enumerate(ROWS) if named == slot]
        with seated(bench, pairs[slot : slot + 1]) as solo:
            hidden, lengths_K = solo.hidden_states(ids[mine][None])
            expected = at_tokens(
                hidden[0], None if lengths_K is None else lengths_K.expand(len(mine))
            )
        torch.testing.assert_close(found_RTD[mine], expected, rtol=1e-5, atol=1e-5)
    cohort.__enter__()


def test_hooks_of_what_stays_as_it_is_compute_the_same(cohort: Cohort, ids: Tensor) -> None:
    """To the bit, as they leave out calls and no arithmetic; and twice, as they write in place."""
    settled = {slot: cohort.acting(slot, settled=True) for slot in set(ROWS)}
    with RowPass(cohort, ROWS) as rows:
        expected_RTD, _ = rows.hidden_states(ids)
    with RowPass(cohort, ROWS, settled) as rows:
        first_RTD, _ = rows.hidden_states(ids)
        second_RTD, _ = rows.hidden_states(ids)
    assert torch.equal(first_RTD, expected_RTD)
    assert torch.equal(second_RTD, expected_RTD)


def test_heads_and_embeddings_are_each_rows_own(cohort: Cohort, ids: Tensor) -> None:
    draw = torch.Generator().manual_seed(5)
    hidden_RD = torch.randn(len(ROWS), cohort.base.width, generator=draw)
    sorted_R = sorted(ROWS)
    own = {s: w()[0] for s in set(ROWS) if (w := cohort.acting(s).head_weight) is not None}
    assert len(own) == 3
    expected = [
        own.get(slot, cohort.base.head.weight) @ hidden_RD[row] for row, slot in enumerate(sorted_R)
    ]
    with RowPass(cohort, sorted_R) as rows:
        logits_RV = rows.logits(hidden_RD)
        embedded = rows.embed(ids)
        # Two tokens after some states, none after others.
        state_n = np.array([0, 0, 3, 11, 11, len(ROWS) - 1])
        target_n = np.array([7, 9, 1, 250, 0, 3])
        nll_n = rows.nlls(hidden_RD, np.arange(len(ROWS)), state_n, target_n)
    torch.testing.assert_close(logits_RV, torch.stack(expected), rtol=1e-5, atol=1e-5)
    shares_RV = logits_RV.log_softmax(dim=-1)
    torch.testing.assert_close(nll_n, -shares_RV[state_n, target_n], rtol=1e-5, atol=1e-5)
    for row, slot in enumerate(sorted_R):
        tied = cohort.acting(slot).embedding_weight
        weight = cohort.base.embedding.weight if tied is None else tied()[0]
        assert torch.equal(embedded[row], weight[ids[row]])


def test_a_block_of_rows_is_computed_as_training_computes_it(
    kit: Kit, bench: Bench, ids: Tensor
) -> None:
    """To the bit: of one execution path, as many rows of each present slot."""
    methods = [bench.method(kind, **options) for kind, options in METHODS[:5]]
    pairs = [(m, kit.perturbed(m, seed=s, spread=0.1)) for s, m in enumerate(methods)]
    with seated(bench, pairs) as cohort, torch.no_grad():
        expected, _ = cohort.hidden_states(ids[:15].view(5, 3, LENGTH))
        for named, is_block in (
            ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], True),
            ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 3], False),
        ):
            with RowPass(cohort, named) as rows:
                found, _ = rows.hidden_states(ids[:15])
                assert rows.is_block is is_block
                assert torch.equal(found, expected.flatten(0, 1)) is is_block
    # The prompts of slots that the passes are not for add no positions to rows, only to blocks.
    methods = [bench.method(kind, **options) for kind, options in METHODS[-3:]]
    pairs = [(m, kit.perturbed(m, seed=s, spread=0.1)) for s, m in enumerate(methods)]
    with seated(bench, pairs) as cohort, torch.no_grad(), cohort.only([0, 2]):
        expected, _ = cohort.hidden_states(ids[:4].view(2, 2, LENGTH))
        with RowPass(cohort, [2, 2, 0, 0]) as rows:
            assert rows.is_block
            found, _ = rows.hidden_states(ids[[2, 3, 0, 1]])
            assert torch.equal(found, expected.flatten(0, 1)[[2, 3, 0, 1]])
        # Slots that the present passes are not for take rows all the same.
        with RowPass(cohort, [1, 2]) as rows:
            assert not rows.is_block


class Copies(TorchDispatchMode):
    """Notes the sizes of what is copied, and of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and not func.is_view:
            self.made.append(found)
        return found


def test_no_factor_is_copied(kit: Kit, ids: Tensor) -> None:
    bench = kit.bench("llama")
    method = bench.method("lora", rank=3, target_modules="all-linear")
    with seated(bench, [(method, kit.perturbed(method, seed=s)) for s in range(3)]) as cohort:
        acting = cohort.acting(1)
        values = cohort.stacks["lora"].tensors
        for layer, hook in acting.linear.items():
            a_KDR: Tensor = vars(hook)["_a_KDR"]
            assert a_KDR.data_ptr() == values[f"{layer}.lora_a"][1].data_ptr()
        factor_shapes = {tuple(t.shape[1:]) for name, t in values.items() if "lora_a" in name}
        with RowPass(cohort, [2, 1, 1, 0, 1, 1]) as rows, torch.no_grad(), Copies() as seen:
            rows.hidden_states(ids[:6])
    # Of a factor's shape there is nothing but lora_b with its scale, which is no copy for a row.
    assert not any(t.dim() == 3 and tuple(t.shape[1:]) in factor_shapes for t in seen.made)
    assert max(len(t) for t in seen.made if t.dim() == 3 and t.shape[2] == 3) == 1


def test_what_is_trained_is_seen_by_the_next_rows(kit: Kit, ids: Tensor) -> None:
    bench = kit.bench("llama")
    methods = [bench.method("dora", rank=2), bench.method("p_tuning", prompt_length=2, hidden=4)]
    cohort = Cohort(bench.base, methods, 2, ProtocolOptions())
    for slot, method in enumerate(methods):
        cohort.seat(slot, method, kit.perturbed(method, seed=slot))
    with cohort, torch.no_grad():
        found = []
        for _ in range(2):
            with RowPass(cohort, [1, 0, 1]) as rows:
                found.append(rows.hidden_states(ids[:3])[0])
            cohort._values_Kn += 0.1
        assert not torch.allclose(found[0][0], found[1][0], atol=1e-3)
        assert not torch.allclose(found[0][1], found[1][1], atol=1e-3)


def test_only_takes_slots_in_any_order_and_again(kit: Kit, bench: Bench, ids: Tensor) -> None:
    methods = [bench.method(kind, **options) for kind, options in METHODS]
    pairs = [(m, kit.perturbed(m, seed=s, spread=0.1)) for s, m in enumerate(methods)]
    slots = [4, 0, 4, 2, 1, *range(5, len(pairs)), 3]
    assert len(slots) > len(pairs)
    for chosen in (slots, list(reversed(range(len(pairs)))), [1, 1]):
        ids_KBT = ids[:1].expand(len(chosen), 2, LENGTH)
        with seated(bench, pairs) as cohort, torch.no_grad():
            alone = []
            for slot in chosen:
                with cohort.only([slot]):
                    hidden, lengths = cohort.hidden_states(ids_KBT[:1])
                    moved = None if lengths is None else lengths.expand(2)
                    alone.append(at_tokens(hidden[0], moved))
            with cohort.only(chosen):
                hidden, lengths = cohort.hidden_states(ids_KBT)
        moved = None if lengths is None else lengths.repeat_interleave(2)
        found = at_tokens(hidden.flatten(0, 1), moved)
        torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_threads_have_rows_of_their_own(cohort: Cohort, ids: Tensor) -> None:
    meeting = Barrier(2)
    rows_of_thread = [ROWS, ROWS[:5]]

    @torch.no_grad()
    def work(named: list[int]) -> Tensor:
        with RowPass(cohort, named) as rows:
            meeting.wait(timeout=60)
            found = rows.hidden_states(ids[: len(named)])[0]
            meeting.wait(timeout=60)
        return found

    expected = []
    for named in rows_of_thread:
        with RowPass(cohort, named) as rows:
            expected.append(rows.hidden_states(ids[: len(named)])[0])
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, rows_of_thread))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_untuned_base_inside_of_rows(cohort: Cohort, ids: Tensor) -> None:
    base = cohort.base
    x_RTD = base.embedding(ids)
    position_RT = torch.arange(LENGTH).expand(len(ROWS), -1)
    with base.untuned():
        expected = base.hidden_states(x_RTD, position_RT)
    with RowPass(cohort, ROWS), base.untuned():
        assert torch.equal(base.hidden_states(x_RTD, position_RT), expected)


@pytest.mark.parametrize("named", [[], [0, 15], [-1]])
def test_slots_that_are_not_there_are_refused(cohort: Cohort, named: list[int]) -> None:
    with pytest.raises(IndexError, match="name one row or more, and slots from 0 to 14"):
        RowPass(cohort, named)
