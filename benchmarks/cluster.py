"""Ray's workers on this machine: what they cost, what they gain, and what is lost with them.

    python benchmarks/cluster.py speed  [--rounds 3]
    python benchmarks/cluster.py losses [--workers 20] [--drivers 5]
    python benchmarks/cluster.py candidates [--candidates 1000]
    python benchmarks/cluster.py placements [--only demo]

``speed`` runs one study of several cohorts by the executor ``local`` and with one and two workers,
one thread each and in turn, and prints the stages' seconds, ratios of the whole, and what `plan
--workers` says of it. ``losses`` kills random workers and drivers of one study with SIGKILL, starts
lost drivers again with the same command, and compares all results with those of one process.
``candidates`` leads a study of a thousand candidates through the driver over actors that are no
processes and train nothing, and prints its seconds and the memory that it came to. ``placements``
runs the demo, and the demo with a search, in one process, on one worker, on two, on two nodes of a
cluster on this machine, and the demo in four shards that are joined, and compares all results.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.flags import positive, run_main

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests know which keys are times

from bakeoff.config import dump_yaml
from tests.studies import without_times

SEED: Final = 0
_METHODS: Final = {
    "lora": {"kind": "lora"},
    "ia3": {"kind": "ia3"},
    "bitfit": {"kind": "bitfit"},
    "bottleneck": {"kind": "bottleneck"},
}
_SEARCH: Final = "search={learning_rates: 3}"
_WAIT: Final = (12.0, 30.0)
"""Seconds between two kills: a worker takes about ten until its first epoch."""


def study_of(seeds: int, epochs: int) -> dict[str, Any]:
    """A study of many cohorts, on the embedded base and news."""
    return {
        "name": "cluster",
        "base": "tiny",
        "task": {
            "kind": "text",
            "source": "wire",
            "text": "article",
            "max_length": 128,
            "examples": {"train": 64, "validation": 24, "test": 24},
        },
        "protocol": {
            "epochs": epochs,
            "seeds": seeds,
            "micro_batch_size": 4,
            "grad_accum_steps": 1,
            "patience": 99,
        },
        "methods": _METHODS,
        "slots": 2,
    }


def started(study: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """A run of the study; ``workers`` 0 is the executor ``local``."""
    command = [sys.executable, "-m", "bakeoff", "run", str(study), "--out", str(out)]
    command += ["--device", "cpu"]
    if workers:
        command += ["--executor", "ray", "--workers", str(workers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    log = out.with_suffix(".log").open("ab")
    with log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def results_in(out: Path) -> dict[str, Any]:
    """Of a run that has ended."""
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def speed(arguments: argparse.Namespace) -> None:
    """Prints a line for each executor, and ratios of the medians."""
    place: Path = arguments.out
    study = place / "study.yaml"
    study.write_text(dump_yaml(study_of(4, arguments.epochs)), encoding="utf-8")
    counts = (0, 1, 2, *arguments.more)
    whole: dict[int, list[float]] = {workers: [] for workers in counts}
    stages: dict[int, list[dict[str, float]]] = {workers: [] for workers in counts}
    for number in range(arguments.rounds):
        for workers in counts:
            out = place / f"{workers}-{number}"
            shutil.rmtree(out, ignore_errors=True)
            begun = time.perf_counter()
            if started(study, out, workers).wait():
                raise SystemExit(f"{out.with_suffix('.log')}: the run failed")
            whole[workers].append(time.perf_counter() - begun)
            stages[workers].append(results_in(out)["environment"]["wall_seconds"])
    names = {0: "local"} | {n: f"ray, {n} workers" for n in counts if n}
    median: dict[int, dict[str, float]] = {}
    for workers in counts:
        parts = {
            key: statistics.median(one.get(key, 0.0) for one in stages[workers])
            for key in stages[workers][0]
        }
        median[workers] = parts
        shown = ", ".join(f"{key} {seconds:.1f}" for key, seconds in parts.items())
        print(f"{names[workers]:16}  process {statistics.median(whole[workers]):6.1f} s; {shown}")
    jobs = {n: median[n]["training"] + median[n]["test"] for n in counts}
    print(f"one worker against local, training and test: {jobs[1] / jobs[0]:.2f} times the time")
    print(f"two workers against one, training and test: {jobs[1] / jobs[2]:.2f} times as fast")
    for workers in counts[1:]:
        plan = subprocess.run(
            [
                *(sys.executable, "-m", "bakeoff", "plan", str(study), "--device", "cpu"),
                *("--json", "--workers", str(workers)),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        )
        found = json.loads(plan.stdout)["schedule"]
        real = statistics.median(one["total"] for one in stages[workers])
        simulated = found["makespan_seconds"]
        print(
            f"simulated on {workers}: {simulated:.1f} s, real {real:.1f} s, "
            f"{simulated / real - 1:+.0%}"
        )


def losses(arguments: argparse.Namespace) -> None:
    """Kills, and prints how often and whether the results are those of one process."""
    place: Path = arguments.out
    study = place / "study.yaml"
    study.write_text(dump_yaml(study_of(10, arguments.epochs)), encoding="utf-8")
    if not (place / "whole/results.json").exists() and started(study, place / "whole", 0).wait():
        raise SystemExit(f"{place / 'whole.log'}: the run failed")
    draw = random.Random(arguments.seed)
    out = place / "killed"
    shutil.rmtree(out, ignore_errors=True)
    plan = ["worker"] * arguments.workers + ["driver"] * arguments.drivers
    draw.shuffle(plan)
    done = {"worker": 0, "driver": 0}
    run = started(study, out, 2)
    for what in plan:
        time.sleep(draw.uniform(*_WAIT))
        while run.poll() is None and not workers_in(out):
            time.sleep(0.5)
        if run.poll() is not None:
            break
        if what == "driver":
            kill_session(run)
            run = started(study, out, 2)
        else:
            os.kill(draw.choice(workers_in(out)), signal.SIGKILL)
        done[what] += 1
    code = run.wait()
    equal = without_times(results_in(out)) == without_times(results_in(place / "whole"))
    print(
        f"killed {done['worker']} workers and {done['driver']} drivers; the last run ended with "
        f"code {code}; results {'equal' if equal else 'DIFFER FROM'} those of one process"
    )
    if not equal or code:
        sys.exit(1)


def placements(arguments: argparse.Namespace) -> None:
    """Runs the demo wherever its jobs may run; one thread each, float32 on the processor."""
    place: Path = arguments.out
    differ = []
    studies: dict[str, tuple[str, ...]] = {"demo": (), "demo, searched": ("--set", _SEARCH)}
    for name, given in studies.items():
        if arguments.only not in (None, name.split()[-1]):
            continue
        folder = place / name.replace(", ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        ways: dict[str, Callable[[Path], None]] = {
            "local": partial(_here, given),
            "one worker": partial(_on_ray, (*given, "--workers", "1")),
            "two workers": partial(_on_ray, (*given, "--workers", "2")),
            "two nodes": partial(_on_nodes, given),
        }
        if not given:
            ways["four shards"] = _in_shards
        whole: dict[str, Any] | None = None
        for way, run in ways.items():
            out = folder / way.replace(" ", "-")
            begun = time.perf_counter()
            run(out)
            seconds = time.perf_counter() - begun
            found = without_times(results_in(out))
            whole = whole or found
            equal = _but_for_execution(found) == _but_for_execution(whole)
            differ += [] if equal else [f"{name}, {way}"]
            words = "equal" if equal else "DIFFERENT"
            print(f"{name:16} {way:12} {seconds:6.1f} s  {words}", flush=True)
    if differ:
        sys.exit(1)


def _but_for_execution(results: dict[str, Any]) -> dict[str, Any]:
    """Results without the settings that say where jobs run."""
    study = {key: value for key, value in results["study"].items() if key != "execution"}
    return {**results, "study": study}


def _command(*given: str) -> None:
    """One call of bakeoff with a thread for each process.

    Raises:
        SystemExit: it failed; its output is printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff", *given],
        env=os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"bakeoff {' '.join(given)}: code {done.returncode}\n{done.stderr}")


def _here(given: Sequence[str], out: Path) -> None:
    _command("run", *given, "--device", "cpu", "--out", str(out))


def _on_ray(given: Sequence[str], out: Path) -> None:
    _command("run", "--executor", "ray", *given, "--device", "cpu", "--out", str(out))


def _on_nodes(given: Sequence[str], out: Path) -> None:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["OMP_NUM_THREADS"] = "1"
    head = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1)
        _on_ray((*given, "--address", cluster.address), out)
    finally:
        cluster.shutdown()


def _in_shards(out: Path) -> None:
    parts = [f"{out}-{number}" for number in range(1, 5)]
    for number, part in enumerate(parts, start=1):
        _command("run", "--shard", f"{number}/4", "--out", part)
    _command("join", *parts, "--out", str(out))
    _command("run", str(out))


def candidates(arguments: argparse.Namespace) -> None:
    """The driver alone: what it takes to hand out jobs and to take what comes of them."""
    from contextlib import contextmanager

    from bakeoff.cli.main import main as command
    from bakeoff.execution.ray.options import RayOptions
    from bakeoff.memory import resident_bytes
    from bakeoff.study import on_ray
    from tests.execution.apart.test_many_candidates import Instant
    from tests.execution.ray.fakes import Actor, Actors, instant

    out, study = arguments.out / "run", arguments.out / "study.yaml"
    shutil.rmtree(out, ignore_errors=True)
    content = study_of(1, 1) | {"slots": 8, "methods": {"head": {"kind": "head"}}}
    content["protocol"] |= {"seeds": arguments.candidates}
    study.write_text(dump_yaml(content), encoding="utf-8")
    spent: list[float] = []

    @contextmanager
    def connected(options: RayOptions) -> Iterator[Actors]:
        begun = time.perf_counter()
        actors = (Actor(run=instant(Instant())) for _ in range(int(options.workers)))
        yield Actors(actors, options)
        spent.append(time.perf_counter() - begun)

    vars(on_ray)["connected"] = connected
    given = ("run", str(study), "--out", str(out), "--executor", "ray", "--workers", "8")
    sys.argv = ["bakeoff", *given, "--device", "cpu"]
    with suppress(SystemExit):
        command()
    seconds = results_in(out)["environment"]["wall_seconds"]
    shown = ", ".join(f"{key} {seconds[key]:.1f}" for key in ("training", "test") if key in seconds)
    print(
        f"{arguments.candidates} candidates through the driver: {spent[0]:.1f} s with costs "
        f"({shown}); at most {resident_bytes(highest=True) / 2**20:.0f} MiB"
    )


def workers_in(out: Path) -> list[int]:
    """Process numbers of a run's workers that are there."""
    try:
        listed = json.loads((out / "workers.json").read_text(encoding="utf-8"))["workers"]
    except (OSError, ValueError):
        return []
    found = []
    for pid in (one["pid"] for one in listed if one["pid"]):
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            found.append(pid)
    return found


def kill_session(run: subprocess.Popen[bytes]) -> None:
    """The driver alone; Ray's own processes notice that it is gone."""
    run.kill()
    run.wait()


def main() -> None:
    """Measures one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("speed", "losses", "candidates", "placements"))
    parser.add_argument("--out", type=Path, default=Path("build/cluster"))
    parser.add_argument("--epochs", type=positive, default=4)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--more", type=positive, nargs="*", default=[], help="workers besides 1, 2")
    parser.add_argument("--workers", type=int, default=20, help="that are killed")
    parser.add_argument("--drivers", type=int, default=5, help="that are killed")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--candidates", type=positive, default=1000)
    parser.add_argument("--only", choices=("demo", "searched"), help="of the placed studies")
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve() / arguments.part
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = {
        "speed": speed,
        "losses": losses,
        "candidates": candidates,
        "placements": placements,
    }
    parts[arguments.part](arguments)


if __name__ == "__main__":
    run_main(main)
