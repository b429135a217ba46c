"""The entry point. It never prompts; ``exit_codes`` says what it returns."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.markup import escape

from bakeoff.cli.app import app as app
from bakeoff.cli.exit_codes import BAD_INPUT, INTERRUPTED
from bakeoff.cli.pipes import pipes_may_close
from bakeoff.errors import BakeoffError
from bakeoff.memory import keep_freed


def main() -> None:
    """Runs the command line: errors meant for the user become one message and exit code 2.

    Any other exception is a fault of bakeoff's own, whose traceback Python prints on stderr before
    it exits with 1.
    """
    # Before PyTorch is loaded: threads that spin while they wait make a machine that does anything
    # else several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed()
    try:
        # A study is worth more than what it prints, so that it goes on.
        with pipes_may_close(goes_on="run" in sys.argv[1:2]):
            app()
    except BakeoffError as error:
        Console(stderr=True).print(
            f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True, highlight=False
        )
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
