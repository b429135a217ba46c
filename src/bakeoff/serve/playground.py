"""The playground: one page, everything in it."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup

from bakeoff.page.frame import asset, hash_of, make_environment
from bakeoff.page.palette import dark_rules

_ROOM = "bakeoff.serve"


@cache
def playground_page() -> tuple[str, str]:
    """(the page, the policy that allows its own style and script, this server, and nothing else)"""
    style = asset("report.css").replace("/* dark marks */", dark_rules())
    style += asset("playground.css", _ROOM)
    script = asset("playground.js", _ROOM)
    policy = (
        f"default-src 'none'; style-src {hash_of(style)}; script-src {hash_of(script)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = make_environment(_ROOM).get_template("playground.html.j2")
    text = template.render(style=Markup(style), script=Markup(script), policy=policy)
    # What a page may not say of itself in a tag.
    return text, f"{policy}; frame-ancestors 'none'"
