"""Rows for ``factors.yaml``: a sentence and what it is about.

python studies/factors_rows.py DIR
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

SIZES = {"train": 64, "validation": 32, "test": 80}
THINGS = {
    "pets": ("cat", "dog", "hamster", "parrot"),
    "food": ("bread", "soup", "apple", "cheese"),
    "tools": ("hammer", "saw", "drill", "wrench"),
}
NAMES = ("Ann", "Bob", "Cid", "Dora", "Eve", "Finn", "Gus", "Hal", "Ida", "Jo")
VERBS = ("bought", "saw", "found", "liked", "wanted", "lost")
KINDS = ("old", "new", "small", "big", "red", "blue")


def main(folder: Path) -> None:
    """Writes a file for each split."""
    draw, rows = random.Random(1), set()
    while len(rows) < sum(SIZES.values()):
        tag = draw.choice(list(THINGS))
        thing, kind = draw.choice(THINGS[tag]), draw.choice(KINDS)
        rows.add((f"{draw.choice(NAMES)} {draw.choice(VERBS)} a {kind} {thing}.", tag))
    ordered = sorted(rows)
    draw.shuffle(ordered)
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("body", "tag"), *ordered[:size]])
        ordered = ordered[size:]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
