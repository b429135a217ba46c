"""Builds the documentation site: ``python -m tools.documents`` (``make docs``).

The pages go to ``build/site-source``, the site to ``build/site``. A link or an anchor that leads
nowhere, and a page that no part of the navigation leads to, end it with an error.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from tools.documents.offline import make_offline
from tools.documents.stage import ROOT, stage

SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"


def main() -> int:
    """Returns the exit code: of the builder, or 1 where the site would ask others for anything."""
    stage(SOURCE)
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    found = subprocess.run(command, cwd=ROOT, check=False)
    if found.returncode:
        return found.returncode
    asked = make_offline(SITE)
    for line in asked:
        print(line, file=sys.stderr)
    print(f"The site: {SITE / 'index.html'}")
    return 1 if asked else 0


if __name__ == "__main__":
    sys.exit(main())
