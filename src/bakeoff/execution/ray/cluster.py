"""The cluster: connecting to it, what it holds, and its actors."""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from bakeoff.errors import ConfigError
from bakeoff.execution.apart.actors import Opener
from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.ray.options import RayOptions
from bakeoff.runs.events import JobKind

ACTOR_PREFIX: Final = "bakeoff-"
_ANSWERS_WITHIN: Final = 5.0
_CLIENT_PORT: Final = 10001
_NAMES: Final = {"num_cpus": "CPU", "num_gpus": "GPU"}
_PASSED_ON: Final = ("BAKEOFF_CACHE", "HF_HOME", "HF_HUB_OFFLINE")


def ray_module() -> Any:
    """Ray, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    # Ray counts the usage of its clusters and sends it to its makers, unless that is switched off.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "executor: ray needs Ray, which is not installed; pip install 'bakeoff[ray]'"
        ) from None
    return ray


def is_installed() -> bool:
    """Whether Ray is; it is not imported."""
    from importlib.util import find_spec

    return find_spec("ray") is not None


@contextmanager
def connected(options: RayOptions) -> Iterator[Cluster]:
    """The cluster at an address, or one that is started here and ends with the context.

    Raises:
        ConfigError: there is none at the address.
    """
    ray = ray_module()
    address = options.address
    if address is not None:
        _check_answers(address)
    if ray.is_initialized():
        yield Cluster(ray, options, outlives=False)
        return
    try:
        with _own_signals():
            _start(ray, options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"--address {address}: no cluster of Ray answers there ({error}); start one with "
            "`ray start --head`, or leave the address out to use this machine alone"
        ) from None
    try:
        yield Cluster(ray, options, outlives=address is not None)
    finally:
        ray.shutdown()


def _start(ray: Any, options: RayOptions) -> None:
    """Connects this process to the cluster, or to one that is started here."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if options.address is not None:
        namespace = f"bakeoff-{uuid.uuid4().hex[:8]}"
        ray.init(address=options.address, namespace=namespace, **quiet)
        return
    wanted = options.workers if isinstance(options.workers, int) else 1
    own = options.resources.get("num_cpus", 1.0)
    count = max(os.cpu_count() or 1, round(wanted * own))
    ray.init(address="local", num_cpus=count, include_dashboard=False, **quiet)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts its own handler of SIGTERM in place of the run's, which saves what is there."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_answers(address: str) -> None:
    """Ray itself would wait for minutes for an address at which nothing is."""
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    if address in ("auto", "local") or not host:
        return
    number = int(port) if port.isdigit() else (_CLIENT_PORT if scheme == "ray" else 6379)
    try:
        socket.create_connection((host, number), timeout=_ANSWERS_WITHIN).close()
    except OSError as error:
        raise ConfigError(
            f"--address {address}: nothing answers at {host}:{number} ({error}); give the address "
            "that `ray start --head` names, or auto on a machine of the cluster"
        ) from None


class Cluster:
    """Makes actors on Ray; an ``ActorHost``.

    Args:
        ray: the module, connected. options: how jobs run. outlives: whether it outlives the driver.
    """

    what = "cluster"
    more_room = (
        "give an actor more of the machine with execution.resources, or choose larger machines"
    )
    kinds: ClassVar[Collection[JobKind]] = ("train", "test", "baseline")

    def __init__(self, ray: Any, options: RayOptions, *, outlives: bool) -> None:
        self.ray, self._options, self._outlives = ray, options, outlives

    def resources(self, *, gpu: bool) -> dict[str, float]:
        """Of one actor."""
        if self._options.resources:
            return dict(self._options.resources)
        return {"num_gpus": 1.0, "num_cpus": 1.0} if gpu else {"num_cpus": 1.0}

    def there(self, *, gpu: bool) -> dict[str, float]:
        """What all nodes have of what one actor asks for, by the same names."""
        has: Mapping[str, float] = self.ray.cluster_resources()
        asked = self.resources(gpu=gpu)
        return {key: has.get(_NAMES.get(key, key), 0.0) for key in asked}

    def capacity(self, *, gpu: bool, left_out: int = 0) -> int:
        """Actors that the present nodes have room for, at most; at least one is waited for.

        Args:
            left_out: actors that have a place and get no job.
        """
        if isinstance(self._options.workers, int):
            return self._options.workers + left_out
        there = self.there(gpu=gpu)
        asked = self.resources(gpu=gpu).items()
        rooms = [int(there[key] // value) for key, value in asked if value > 0]
        return max(1, min(rooms, default=1))

    def actor(self, opener: Opener, threads: int, *, gpu: bool) -> Any:
        """A new actor; it may wait for room."""
        given = self.resources(gpu=gpu)
        own = {key: value for key, value in given.items() if key not in ("num_cpus", "num_gpus")}
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        settings: dict[str, Any] = {
            "num_cpus": given.get("num_cpus", 0),
            "num_gpus": given.get("num_gpus", 0),
            "resources": own,
            "max_concurrency": 3,
            "max_restarts": 0,
            "runtime_env": {"env_vars": {**passed, "OMP_NUM_THREADS": str(threads)}},
        }
        if self._outlives:  # it finishes its job, keeps its folder and ends by itself
            settings |= {"lifetime": "detached", "name": f"{ACTOR_PREFIX}{uuid.uuid4().hex}"}
        remote = self.ray.remote(JobWorker).options(**settings)
        return remote.remote(opener, threads, self._outlives)

    def wait(self, references: Sequence[Any], *, count: int, timeout: float) -> list[Any]:
        """See ``ActorHost``."""
        ready: list[Any]
        ready, _ = self.ray.wait([*references], num_returns=count, timeout=timeout)
        return ready

    def get(self, reference: Any) -> Any:
        """See ``ActorHost``."""
        return self.ray.get(reference)

    def kill(self, *actors: Any) -> None:
        """See ``ActorHost``."""
        for actor in actors:
            self.ray.kill(actor)
