"""What every page is made with: templates that escape, our assets, and the policy for them."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from bakeoff.formatting import Scale, shown_p_value, shown_rate, shown_whole
from bakeoff.page import words
from bakeoff.page.palette import dark_rules

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup


_SHARED: Final = "bakeoff.report"
"""Whose style sheet, scripts and parts of templates every page has."""


def make_environment(room: str = _SHARED) -> jinja2.Environment:
    """Templates in which whatever is put in is escaped, and what is missing is an error.

    Args:
        room: the package whose ``templates`` are looked at before the shared ones.
    """
    # Imported here and below: only who writes a page needs it.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: asset(name, room)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": shown_whole,
        "nll": Scale().write,
        "rate": shown_rate,
        "state": words.state,
        "p_value": shown_p_value,
        "plain": words.plain,
        "breakable": _breakable,
    }
    return environment


def frame(*script_names: str) -> dict[str, object]:
    """The style sheet, the scripts and the policy that allows these and nothing else."""
    from markupsafe import Markup

    style = asset("report.css").replace("/* dark marks */", dark_rules())
    scripts = [asset(name) for name in script_names]
    return {
        "style": Markup(style),
        "scripts": [Markup(script) for script in scripts],
        "policy": (
            f"default-src 'none'; style-src {hash_of(style)}; "
            f"script-src {' '.join(map(hash_of, scripts))}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        "inline": Markup,
    }


def asset(name: str, room: str = _SHARED) -> str:
    """A template or a file of ours: the room's own, else the shared one."""
    folder = "templates" if name.endswith(".j2") else "assets"
    own = files(room) / folder / name
    return (own if own.is_file() else files(_SHARED) / folder / name).read_text(encoding="utf-8")


def _breakable(text: str) -> Markup:
    """The escaped text with leave to break after underscores."""
    from markupsafe import Markup

    return Markup("_<wbr>").join(text.split("_"))


def hash_of(text: str) -> str:
    """A style or script as a policy names it."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
