"""Trains a member of the family of small bases; without ``--size`` the shipped base ``tiny``.

    python tools/pretrain_tiny.py --out src/bakeoff/base/tiny --minutes 25
    python tools/pretrain_tiny.py --size wire-3.5m --out somewhere

It learns from articles alone, never from highlights. Without ``--minutes``, the same command goes
on where it was interrupted; by the clock, the folder is written every few minutes and complete each
time. ``bakeoff bases make`` does the same for who has bakeoff installed.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

# Threads that spin while they wait make a busy machine four times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from bakeoff.base.precision import choose_device
from bakeoff.base.wire_bases.pretraining import pretrain
from bakeoff.base.wire_bases.shapes import FAMILY
from bakeoff.base.wire_bases.unfinished import unfinished_file


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(FAMILY), default="wire-1.1m")
    parser.add_argument("--out", type=Path, default=Path("src/bakeoff/base/tiny"))
    parser.add_argument("--steps", type=int, help="number of steps; wins over --minutes")
    parser.add_argument("--minutes", type=float, help="training time, wall clock")
    parser.add_argument("--rows", type=int, help="rows of 256 tokens per step")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--save-minutes", type=float, default=4.0, help="time between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    return parser.parse_args()


def main() -> None:
    """Trains and writes the base."""
    args = options()
    shape = FAMILY[args.size]
    shape = replace(
        shape,
        rows=args.rows or shape.rows,
        learning_rate=args.learning_rate or shape.learning_rate,
    )
    device = choose_device(args.device)
    asked = {"steps": args.steps, "minutes": args.minutes}
    length = next((f" --{name} {value:g}" for name, value in asked.items() if value), "")
    pretrain(
        args.size,
        shape,
        args.out,
        command=f"python tools/pretrain_tiny.py --size {args.size}{length} --rows {shape.rows} "
        f"--learning-rate {shape.learning_rate:g} --threads {args.threads} --device {device.type}",
        steps=args.steps,
        minutes=args.minutes,
        save_minutes=args.save_minutes,
        checkpoint=unfinished_file(args.out),
        threads=args.threads,
        device=device,
    )


if __name__ == "__main__":
    main()
