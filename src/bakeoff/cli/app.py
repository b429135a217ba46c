"""The commands of ``bakeoff``, each in a file of its own."""

from __future__ import annotations

import typer

from bakeoff.cli.audit import audit
from bakeoff.cli.bases import bases
from bakeoff.cli.claims import claims
from bakeoff.cli.exit_codes import MEANINGS
from bakeoff.cli.export import export
from bakeoff.cli.init import init
from bakeoff.cli.join import join
from bakeoff.cli.methods import methods
from bakeoff.cli.plan import plan
from bakeoff.cli.predict import predict
from bakeoff.cli.push import push
from bakeoff.cli.report import report
from bakeoff.cli.run import run
from bakeoff.cli.serve import serve
from bakeoff.cli.status import status
from bakeoff.cli.template import template
from bakeoff.cli.version import start, version

_COMMANDS = (
    *(init, run, join, status, plan, report, audit, claims, predict, serve, template),
    *(export, push, methods, version),
)

_HELP = "Finds the right way to fine-tune a language model."

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=_HELP,
    epilog="Exit codes: "
    + " | ".join(f"{code}: {meaning}" for code, meaning in MEANINGS.items())
    + ".",
)
app.callback(help=_HELP)(start)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(bases, name="bases")
