"""The command line, with what its process held at most written to a file when it ends.

    python benchmarks/measured_run.py PEAK.json run STUDY.yaml --out FOLDER

On a GPU that is what the allocator took from the card, captured graphs and all; on a CPU the
process's resident set.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path


def main() -> None:
    """Runs ``bakeoff`` with the arguments behind the file's name."""
    place = Path(sys.argv[1])
    sys.argv = ["bakeoff", *sys.argv[2:]]
    from bakeoff.cli.main import main as command_line

    try:
        command_line()
    finally:
        place.write_text(json.dumps({"peak_memory_bytes": _peak_bytes()}), encoding="utf-8")


def _peak_bytes() -> int:
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
