"""Rows that join and leave a running batch write what each would write alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.serving.batcher import Batcher
from bakeoff.engine.serving.limits import Limits, QueueFullError
from bakeoff.engine.serving.residents import Lane, OwnSeats, make_resident
from bakeoff.engine.serving.rows import Ended, Event, Failed, Fault, Row, Scored, Wrote
from bakeoff.engine.serving.sampling import Sampling
from bakeoff.engine.serving.text import TextStream
from bakeoff.errors import CheckpointError
from bakeoff.methods.contract import ExecutionPath
from tests.waiting import until

if TYPE_CHECKING:
    from bakeoff.methods.contract import Method, Tensors
    from tests.engine.conftest import Bench, Kit

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 4, "target_modules": "all-linear"}),
    ("soft_prompt", {"prompt_length": 6}),
    ("prefix", {"prefix_length": 3}),
    ("bottleneck", {"size": 4}),
    ("ia3", {}),
    ("dora", {"rank": 2}),
    ("head", {"tied": True}),
    ("last_layers", {"num_layers": 1}),
    ("full", {}),
]
LENGTH = 12
NGRAM = 3


@dataclass(eq=False)
class Known:
    """An adapter in this process."""

    name: str
    method: Method | None = None
    tensors: Tensors = field(default_factory=dict)
    lane: str = "base"
    is_torn: bool = False
    num_loads: int = 0

    @property
    def extra_positions(self) -> int:
        return 0 if self.method is None else self.method.extra_positions

    @property
    def has_own_base(self) -> bool:
        return self.method is not None and self.method.execution_path is ExecutionPath.OWN_BASE

    @property
    def least_bytes(self) -> int:
        return 0 if self.method is None else 4 * self.method.num_trainable

    def load(self) -> tuple[Method | None, Tensors]:
        self.num_loads += 1
        if self.is_torn:
            raise CheckpointError("/secret/adapter_model.safetensors: torn")
        return self.method, self.tensors


@dataclass
class Heard:
    """What was reported of one row."""

    events: list[Event] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [e.drawn.id for e in self.events if isinstance(e, Wrote) and e.drawn]

    @property
    def text(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Wrote))

    @property
    def last(self) -> Event:
        return self.events[-1]


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


@pytest.fixture(scope="module")
def sources(kit: Kit, bench: Bench) -> list[Known]:
    found = [Known("zero_shot")]
    for seed, (kind, options) in enumerate(KINDS):
        method = bench.method(kind, **options)
        spread = 0.02 if kind == "full" else 0.1
        found.append(Known(kind, method, kit.perturbed(method, seed=seed, spread=spread)))
    return found


def made(bench: Bench, *, num_seats: int = 6, **limits: Any) -> tuple[Batcher, Lane]:
    lane = Lane(bench.base, num_seats, 64)
    return Batcher({"base": lane}, Limits(**limits)), lane


def asked(source: Known, prompt: Sequence[int], **changes: Any) -> tuple[Row, Heard]:
    heard = Heard()
    choices = changes.pop("choices", ())
    settings = {"max_tokens": LENGTH, "no_repeat_ngram": NGRAM, **changes}
    row = Row(
        source=source,
        prompt=list(map(int, prompt)),
        sampling=Sampling(**settings),
        listener=heard.events.append,
        choices=choices,
    )
    return row, heard


def finish(batcher: Batcher) -> None:
    for _ in range(400):
        if not batcher.num_running and not batcher.num_waiting:
            return
        batcher.round()
    raise AssertionError("the batch does not come to an end")


def alone(bench: Bench, source: Known, prompts: Sequence[Any]) -> list[list[int]]:
    options = GenerationOptions(max_new_tokens=LENGTH, no_repeat_ngram=NGRAM)
    methods = [] if source.method is None else [source.method]
    cohort = Cohort(bench.base, methods, 1)
    if source.method is not None:
        cohort.seat(0, source.method, source.tensors)
    with cohort:
        [found] = generate(cohort, [0], prompts, options)
    return found


def test_rows_write_what_each_writes_alone_whoever_joins_and_leaves(
    kit: Kit, bench: Bench, sources: list[Known]
) -> None:
    draw = np.random.default_rng(5)
    prompts = kit.rows(3 * len(sources), (1, 40), draw)
    named = [sources[i % len(sources)] for i in range(len(prompts))]
    expected = [alone(bench, s, [p])[0] for s, p in zip(named, prompts, strict=True)]
    end_id = int(bench.base.tokenizer.eos_token_id)
    batcher, lane = made(bench, num_seats=5, prefill_tokens=16)
    heard = []
    try:
        for place in draw.permutation(len(prompts)).tolist():
            row, reported = asked(
                named[place],
                prompts[place],
                stop_ids=frozenset([end_id]),
                max_tokens=LENGTH,
            )
            heard.append((place, reported))
            batcher.submit([row])
            for _ in range(int(draw.integers(0, 4))):
                batcher.round()
        finish(batcher)
    finally:
        lane.close()
    for place, reported in heard:
        assert isinstance(reported.last, Ended), (named[place].name, reported.last)
        assert reported.ids == expected[place], named[place].name
    assert len({tuple(ids) for ids in expected}) > len(sources)
    assert bench.untouched()


def test_choices_cost_what_they_cost_alone(kit: Kit, bench: Bench, sources: list[Known]) -> None:
    draw = np.random.default_rng(7)
    prompts = kit.rows(len(sources), (1, 30), draw)
    choices = [kit.rows(3, (1, 5), draw) for _ in prompts]
    expected = []
    for source, prompt, some in zip(sources, prompts, choices, strict=True):
        cohort = Cohort(bench.base, [] if source.method is None else [source.method], 1)
        if source.method is not None:
            cohort.seat(0, source.method, source.tensors)
        with cohort:
            expected.append(choose(cohort, [0], [prompt], [some])[0][0])
    batcher, lane = made(bench)
    reported = []
    for source, prompt, some in zip(sources, prompts, choices, strict=True):
        row, heard = asked(source, prompt.tolist(), choices=[ids.tolist() for ids in some])
        batcher.submit([row])
        reported.append(heard)
    finish(batcher)
    lane.close()
    for heard, nats in zip(reported, expected, strict=True):
        scored = heard.events[0]
        assert isinstance(scored, Scored)
        np.testing.assert_allclose(scored.nats, nats, rtol=1e-4)
        assert sum(map(sum, scored.by_token)) == pytest.approx(sum(scored.nats))


def test_what_a_seed_draws_follows_from_the_seed_alone(bench: Bench, sources: list[Known]) -> None:
    def drawn(neighbours: int, seed: int) -> list[int]:
        batcher, lane = made(bench)
        row, heard = asked(sources[1], range(9), temperature=0.9, top_p=0.9, top_k=40, seed=seed)
        others = [
            asked(sources[i + 2], range(3 + i), temperature=1.0)[0] for i in range(neighbours)
        ]
        batcher.submit([*others, row])
        finish(batcher)
        lane.close()
        return heard.ids

    assert drawn(0, 3) == drawn(3, 3)
    assert drawn(0, 3) != drawn(0, 4)


def test_numbers_that_are_none_stay_with_their_row(bench: Bench, sources: list[Known]) -> None:
    lora = sources[1]
    assert lora.method is not None
    broken = Known("nan", lora.method, {n: t * float("nan") for n, t in lora.tensors.items()})
    prompt = list(range(20))
    expected = alone(bench, lora, [np.array(prompt)])[0]
    batcher, lane = made(bench, num_seats=2)
    pairs = [asked(broken if i % 2 else lora, prompt) for i in range(6)]
    batcher.submit([row for row, _ in pairs])
    finish(batcher)
    lane.close()
    for i, (_, heard) in enumerate(pairs):
        if i % 2:
            assert isinstance(heard.last, Failed) and heard.last.fault is Fault.NOT_FINITE
        else:
            assert heard.ids == expected


def test_rules_that_leave_nothing_to_draw_from_fail_their_row_alone(
    bench: Bench, sources: list[Known]
) -> None:
    prompt = list(range(20))
    assert sources[1].method is not None
    expected = alone(bench, sources[1], [np.array(prompt)])[0]
    batcher, lane = made(bench)
    bad, reported = asked(sources[1], prompt, temperature=1.0, logit_bias={0: float("nan")})
    good, heard = asked(sources[1], prompt)
    cold, chilled = asked(sources[1], prompt, temperature=1e-40, seed=0)
    narrow, narrowed = asked(sources[1], prompt, temperature=1.0, top_p=1e-300, seed=0)
    batcher.submit([bad, good, cold, narrow])
    finish(batcher)
    lane.close()
    assert isinstance(reported.last, Failed) and reported.last.fault is Fault.INTERNAL
    assert heard.ids == expected
    assert chilled.ids == narrowed.ids == expected


def test_an_adapter_that_does_not_fit_alone_is_refused_before_it_is_read(
    bench: Bench, sources: list[Known]
) -> None:
    lora, full = sources[1], sources[-1]
    assert lora.method is not None
    batcher, lane = made(bench, max_adapter_bytes=8 * lora.method.num_trainable)
    num_loads = full.num_loads
    pairs = [asked(source, range(5)) for source in (full, lora, sources[0])]
    batcher.submit([row for row, _ in pairs])
    finish(batcher)
    lane.close()
    refused = pairs[0][1].last
    assert isinstance(refused, Failed) and refused.fault is Fault.MEMORY
    assert "'full' takes" in refused.message and full.num_loads == num_loads
    assert all(isinstance(heard.last, Ended) for _, heard in pairs[1:])


def test_a_torn_adapter_fails_its_rows_and_names_no_file(
    bench: Bench, sources: list[Known]
) -> None:
    torn = Known("torn", sources[1].method, sources[1].tensors, is_torn=True)
    batcher, lane = made(bench)
    bad, reported = asked(torn, range(5))
    good, heard = asked(sources[1], range(5))
    batcher.submit([bad, good])
    finish(batcher)
    assert isinstance(reported.last, Failed) and reported.last.fault is Fault.ADAPTER
    assert "secret" not in reported.last.message and isinstance(heard.last, Ended)
    torn.is_torn = False
    again, reported = asked(torn, range(5))
    batcher.submit([again])
    finish(batcher)
    lane.close()
    assert reported.ids == heard.ids


def test_the_least_recently_used_adapter_leaves(kit: Kit, bench: Bench) -> None:
    method = bench.method("lora", rank=2)
    many = [Known(f"a{i}", method, kit.perturbed(method, seed=i)) for i in range(4)]
    batcher, lane = made(bench)
    [row], reported = [asked(many[0], range(4))[0]], None
    batcher.submit([row])
    finish(batcher)
    room = int(2.5 * batcher.pool.num_bytes)
    lane.close()
    batcher, lane = made(bench, max_adapter_bytes=room)
    for place in (0, 1, 0, 2, 0, 3, 1):
        row, reported = asked(many[place], range(4))
        batcher.submit([row])
        finish(batcher)
        assert isinstance(reported.last, Ended)
        assert batcher.pool.num_bytes <= room
    # All at once: those without room wait for a row to leave.
    pairs = [asked(source, range(4)) for source in many]
    batcher.submit([row for row, _ in pairs])
    finish(batcher)
    lane.close()
    assert all(isinstance(heard.last, Ended) for _, heard in pairs)
    assert many[0].num_loads <= 4 and batcher.pool.num_evicted >= 3


def test_a_row_whose_client_has_gone_gives_up_its_seat(bench: Bench, sources: list[Known]) -> None:
    batcher, lane = made(bench, num_seats=1)
    first, reported = asked(sources[1], range(5), max_tokens=40, no_repeat_ngram=0)
    waits, heard = asked(sources[2], range(5))
    batcher.submit([first, waits])
    batcher.round()
    batcher.round()
    assert batcher.num_waiting == 1
    batcher.cancel([first])
    finish(batcher)
    lane.close()
    assert isinstance(reported.last, Failed) and reported.last.fault is Fault.CANCELLED
    assert isinstance(heard.last, Ended)


def test_no_more_rows_wait_than_may(bench: Bench, sources: list[Known]) -> None:
    batcher, lane = made(bench, max_queue=2)
    rows = [asked(sources[0], range(3))[0] for _ in range(3)]
    with pytest.raises(QueueFullError, match="at most 2"):
        batcher.submit(rows)
    assert batcher.num_waiting == 0
    lane.close()


def test_a_thread_finishes_what_runs_and_refuses_what_waits(
    bench: Bench, sources: list[Known]
) -> None:
    batcher, lane = made(bench, num_seats=1)
    pairs = [asked(sources[1], range(4), max_tokens=30, no_repeat_ngram=0) for _ in range(50)]
    batcher.start()
    batcher.submit([row for row, _ in pairs])
    until(lambda: pairs[0][1].events)
    batcher.stop(timeout=60)
    lane.close()
    assert isinstance(pairs[0][1].last, Ended)
    assert not batcher.is_alive
    faults = [h.last.fault for _, h in pairs if isinstance(h.last, Failed)]
    assert set(faults) <= {Fault.STOPPING} and len(faults) >= 1


@pytest.mark.parametrize("strips", [True, False])
def test_the_pieces_of_a_text_are_the_text(bench: Bench, strips: bool) -> None:
    tokenizer = bench.base.tokenizer
    text = "  Zürich → 東京 😀 and so on.  "
    stream = TextStream(tokenizer, [], strips=strips)
    pieces = [stream.add(int(i)) for i in tokenizer(text)["input_ids"]] + [stream.end()]
    assert "".join(pieces) == (text.strip() if strips else text)
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert sum(map(bool, pieces)) > 5


def test_a_stop_text_is_found_across_tokens_and_never_shown(bench: Bench) -> None:
    tokenizer = bench.base.tokenizer
    stream = TextStream(tokenizer, ["END.", "ENT"], strips=True)
    shown = ""
    for token in tokenizer("An EN ENDING END. more")["input_ids"]:
        shown += stream.add(int(token))
        if stream.is_stopped:
            break
    assert shown + stream.end() == "An EN ENDING"
    assert stream.is_stopped


def test_a_principal_part_counts_as_memory(kit: Kit) -> None:
    bench = kit.bench("gpt_neo")
    lane = Lane(bench.base, 1, 64)
    sizes = []
    for init in ("kaiming", "pissa"):
        method = bench.method("lora", rank=3, init=init)
        with lane.untouched():
            tensors = kit.perturbed(method, seed=1)
            sizes.append(make_resident(1, lane, method, tensors, OwnSeats()).num_bytes)
    lane.close()
    assert sizes[1] == 2 * sizes[0]
