"""``/metrics`` in Prometheus's format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from bakeoff.serve.engine import Engine

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One server's; a registry of its own, so that several may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "bakeoff_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "bakeoff_request_seconds",
            "Seconds until a response begins, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._engine: Engine | None = None
        self._registry.register(self)

    def follow(self, engine: Engine) -> None:
        """Shows this engine's figures from now on."""
        self._engine = engine

    def collect(self) -> Iterator[Any]:
        """The engine's figures, as the registry asks for them."""
        engine = self._engine
        if engine is None:
            return
        batcher, pool = engine.batcher, engine.batcher.pool
        counts = batcher.counts
        counters = {
            "prompt_tokens": ("Tokens of prompts that were read.", counts.prompt_tokens),
            "written_tokens": ("Tokens that were written.", counts.written_tokens),
            "passes": ("Passes through a base.", counts.passes),
            "near_ties": (
                "Tokens whose two best logits lay within 1e-4, where rounding decides.",
                counts.near_ties,
            ),
            "adapters_loaded": ("Adapters that were read.", pool.num_loaded),
            "adapters_evicted": ("Adapters that left for others.", pool.num_evicted),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"bakeoff_{name}", text, value=value)
        faults = CounterMetricFamily("bakeoff_faults", "Rows without an answer.", labels=["fault"])
        for fault, value in list(counts.faults.items()):
            faults.add_metric([str(fault)], value)
        yield faults
        gauges = {
            "rows_running": ("Rows in a seat.", batcher.num_running),
            "rows_waiting": ("Rows that wait for a seat.", batcher.num_waiting),
            "seats": ("Seats of the shared bases.", engine.num_seats),
            "adapters_resident": ("Adapters in memory.", len(pool.names)),
            "adapter_bytes": ("Bytes of adapters in memory.", pool.num_bytes),
            "cache_bytes": (
                "Bytes of keys and values, fixed.",
                sum(lane.cache.nbytes for lane in engine.lanes.values()),
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"bakeoff_{name}", text, value=value)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)
