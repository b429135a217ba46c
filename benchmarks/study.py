"""``studies/seed.yaml``'s whole study against the loops that a user would write, in one run.

    python benchmarks/study.py            # GPT-Neo-125M, three methods, ten epochs; on a GPU
    python benchmarks/study.py --quick    # the tiny base, a few dozen examples

Ours is measured in full: the command line runs the study in a process of its own, from its start to
the report. The rivals' time is computed: on the same data a few of their training steps, validation
batches and generated batches are timed, in turn and after warm-up, and their medians are multiplied
by how many the study has: for each method, the epochs that ours trained it for, each with its
validation, and one generation of the test set with the adapter that ours trained, at the rival's
best batch size. What else a study does (data, baselines, test likelihoods, ROUGE, costs, the
report) counts for ours alone. ``Trainer`` writes no text; its generation is the plain loop's.

Prints one JSON object per line: engine, case and part, seconds of a step, of a row, and in all,
peak memory; the last line sums up, with ``ratio`` (a rival's seconds over ours) for the whole
study, its training and its test. What ours spends once, some 20 s of start, imports and costs, is
most of a study that is over in a minute: ``--quick`` shows that all runs, not how fast a study is.
First losses, likelihoods after an update and those of the trained adapters
must agree.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from bakeoff.base.precision import choose_device
from common.flags import common_flags, parsed, positive, run_main
from engines.measuring import cold_compiler, device_name, environment, print_record
from engines.ours import METHODS, load_source_of
from engines.study_rivals import OURS, Measured, StudyRivals
from seed_study import OurRun, run_ours, study_of, write_data


def main(argv: Sequence[str] | None = None) -> None:
    """Runs ours, measures the rivals, and prints what both come to."""
    arguments = _arguments(argv)
    device = choose_device(arguments.device)
    with tempfile.TemporaryDirectory() as folder, cold_compiler():
        place = Path(folder)
        # Nothing of an earlier run helps ours.
        with environment(BAKEOFF_CACHE=str(place / "cache")):
            source = load_source_of(arguments.base)
            write_data(place / "data", source.tokenizer, arguments)
            run = run_ours(study_of(arguments, place / "data"), place, device.type)
            _tell_ours(arguments.base, run)
            measured = StudyRivals(arguments, device.type, run, source.model)
            _sum_up(measured, {name: measured.measure(name) for name in arguments.method})


def _tell_ours(base: str, run: OurRun) -> None:
    methods = run.results["methods"]
    peaks = {name: found["cost"]["peak_memory_bytes"] for name, found in methods.items()}
    print_record(
        engine=OURS,
        case=f"{base} study",
        part="in all",
        seconds=round(run.seconds, 3),
        wall_seconds=run.results["environment"]["wall_seconds"],
        peak_memory_bytes=run.peak_memory_bytes,
        method_peak_memory_bytes=peaks,
    )


def _sum_up(measured: StudyRivals, found: dict[str, Measured]) -> None:
    run, base = measured.run, measured.arguments.base
    wall = run.results["environment"]["wall_seconds"]
    engines = set.intersection(*(set(one.step) for one in found.values())) - {OURS}
    rivals: dict[str, dict[str, float]] = {}
    for engine in sorted(engines):
        parts = [measured.seconds(name, m, engine) for name, m in found.items()]
        training, test = (sum(part) for part in zip(*parts, strict=True))
        rivals[engine] = {"study": training + test, "training": training, "test": test}
        for name, part in zip(found, parts, strict=True):
            print_record(
                engine=engine,
                case=f"{base} {name}",
                part="in all",
                epochs=measured.epochs(name),
                training_seconds=round(part[0], 3),
                test_seconds=round(part[1], 3),
            )
    ours = {"study": run.seconds, "training": wall["training"], "test": wall["test"]}
    print_record(
        summary=True,
        device=device_name(measured.base.device),
        precision=str(measured.base.compute_dtype).removeprefix("torch."),
        bakeoff_seconds=round(run.seconds, 3),
        rival_seconds={n: {k: round(v, 3) for k, v in s.items()} for n, s in rivals.items()},
        ratio={
            f"{base} {part}": {n: round(s[part] / ours[part], 3) for n, s in rivals.items()}
            for part in ours
        },
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = common_flags(__doc__, methods=sorted(METHODS), method="lora")
    parser.set_defaults(method=["head-tied", "lora", "soft_prompt"])
    parser.add_argument("--slots", type=_slots, default="auto", help="of ours: a number, or auto")
    parser.add_argument("--accumulate", type=positive, default=4, help="micro-batches of an update")
    parser.add_argument("--epochs", type=positive, default=10)
    parser.add_argument("--train", type=positive, default=21_000, help="examples")
    parser.add_argument("--validation", type=positive, default=6_000, help="examples")
    parser.add_argument("--test", type=positive, default=3_000, help="examples")
    parser.add_argument("--steps", type=positive, default=3, help="a rival's updates in a round")
    parser.add_argument("--rounds", type=positive, default=3, help="timed rounds, after one more")
    return parsed(
        parser,
        argv,
        base="tiny",
        micro_batch_size=4,
        accumulate=2,
        max_length=128,
        supervised=32,
        epochs=3,
        train=512,
        validation=64,
        test=64,
        rounds=2,
    )


def _slots(text: str) -> int | str:
    return text if text == "auto" else int(text)


if __name__ == "__main__":
    run_main(main)
