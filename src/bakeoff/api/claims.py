"""Runs claims: their data are prepared, their studies run as any study is, and files written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bakeoff.api.claim_data import beside_rows, given_data, made_data
from bakeoff.api.running import RunSettings, StoppedEarly, execute
from bakeoff.api.study import Study
from bakeoff.base.precision import choose_device
from bakeoff.claims.contract import SIZES, BaseFacts
from bakeoff.claims.registry import all_claims, claim_names, claims_named
from bakeoff.claims.running import run_suite
from bakeoff.claims.suite import Suite, carried_claims, noted_claims
from bakeoff.claims.writing import as_mapping
from bakeoff.config import from_mapping
from bakeoff.errors import ConfigError
from bakeoff.execution.stopping import EXIT_INTERRUPTED, Stopped, StopSignals
from bakeoff.files import disk_errors, write_bytes
from bakeoff.formatting import seconds_of
from bakeoff.runs.reading import read_json
from bakeoff.study.execution_options import ExecutionOptions

if TYPE_CHECKING:
    from rich.console import Console

JSON_FILE: Final = "claims.json"
DESIGN_FILE: Final = "design.json"
"""Size, bases and data of the claims that a folder holds."""
ROWS_HASH: Final = "data_sha256"
"""Of the rows of data of one's own, in the design; versions that kept none are taken up."""
DRAWN: Final = "drawn"
"""How the rows of data of one's own are chosen; versions that wrote no word took the first ones,
and their folders go on with these."""
PAGE_FILE: Final = "claims.html"
DEFAULT_BASE: Final = "tiny"


@dataclass(frozen=True, kw_only=True)
class ClaimResults:
    """What a run of claims found.

    Attributes:
        folder: with ``claims.json`` and ``claims.html``.
        claims: by name, as in ``claims.json``; also those of earlier calls in this folder.
        failed: what went wrong, in sentences; the same call goes on with it.
        traces: of faults of this program, or of a claim's own code.
    """

    folder: Path
    claims: Mapping[str, Mapping[str, Any]]
    failed: Sequence[str] = ()
    traces: Sequence[str] = ()


class ClaimsStopped(Stopped):
    """A call of ``run_claims`` that a signal ended; what there is is written.

    Attributes:
        results: what was found until then.
    """

    def __init__(self, exit_code: int, why: str, results: ClaimResults) -> None:
        super().__init__(exit_code, why)
        self.results = results


def run_claims(
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    base: str | None = None,
    bases: Sequence[str] | None = None,
    data: str | None = None,
    device: str = "auto",
    executor: str | None = None,
    budget: str | None = None,
    mix_versions: bool = False,
    out: str | Path = "runs/claims",
    console: Console | None = None,
) -> ClaimResults:
    """Tests claims; the same call goes on with what is there.

    A call with other claims in the same folder keeps those that are there: all of them are decided
    together, as one family.

    Args:
        names: of claims; none takes all, or those of ``quick``, of which what was decided is not
            trained again where its studies are gone.
        quick: small designs, on ``tiny``.
        base: that claims not about scale are tested on; ``tiny`` without, or the first of
            ``bases``, among which it need not be. bases: of one family, for claims about scale.
        data: as of ``bakeoff init``: a file or a folder of rows, ``-``; made articles without.
        device: ``auto``, ``cpu`` or ``cuda``. budget: ``2h``, ``90m``.
        executor: where the studies' jobs run, as of ``ExecutionOptions``; None as ``auto`` has it.
        mix_versions: goes on with what other versions of the libraries kept.
        out: the folder for ``claims.json``, ``claims.html``, the studies, and what of them the
            claims were decided by.
        console: where progress is shown; None shows none.

    Raises:
        BakeoffError: for bad input.
        ClaimsStopped: a KeyboardInterrupt, after what there is was saved and reported.
    """
    from rich.console import Console as RichConsole
    from rich.markup import escape

    from bakeoff.claims.bases import facts_of
    from bakeoff.claims.page import build_page

    started = time.monotonic()
    most = None if budget is None else seconds_of(budget)
    if executor is not None:  # a wrong name is no failure of a study
        from_mapping(ExecutionOptions, {"executor": executor}, path="execution")
    shown = console or RichConsole(stderr=True, quiet=True)

    def note(text: str) -> None:
        shown.print(f"[bold]claims[/]: {escape(text)}", highlight=False, soft_wrap=True)

    asked = claims_named(names, quick=quick, left_out=note)
    resolved = str(choose_device(device))
    place, size = Path(out), SIZES["quick" if quick else "full"]
    earlier = _earlier(place)
    known = None if earlier is None else earlier.get("base")
    bases = [_base_place(one) for one in bases or ()]
    main = (base and _base_place(base)) or known or (bases[0] if bases else DEFAULT_BASE)
    design: dict[str, Any] = {
        **{"size": size.name, "numbers": json.loads(json.dumps(asdict(size)))},
        **{"base": main, "bases": bases, "data": _place_of(data)},
    }
    if is_drawn := data is not None and (earlier is None or earlier.get("rows") == DRAWN):
        design["rows"] = DRAWN
    if earlier is not None:
        if data is not None and "fingerprints" not in earlier:
            raise ConfigError(
                f"{place}: holds claims of an older version on data of your own, which it counted "
                "and divided in another way; give another folder with --out"
            )
        design = _joined_design(place, earlier, design, lambda one: facts_of(one).fingerprint)
        main = design["base"]
    facts = {one: facts_of(one) for one in dict.fromkeys((*design["bases"], main))}
    _check_family([facts[one] for one in design["bases"]])
    design["fingerprints"] = _checked_fingerprints(place, earlier, facts)
    # Those that are there first, so that studies grow at their end.
    noted, known_names = noted_claims(place), claim_names()
    claims = {**all_claims([name for name in noted if name in known_names], note), **asked}
    gone = [name for name in noted if name not in claims]
    if gone:
        note(f"not installed now, and left as they are in {place / JSON_FILE}: {', '.join(gone)}")
    if data is None:
        learnt = made_data(place, size)
    else:
        known_rows = (earlier or {}).get(ROWS_HASH)
        learnt = given_data(data, main, place, is_drawn=is_drawn, known=known_rows)
        design[ROWS_HASH] = learnt.sha256
    facts = {name: beside_rows(one, learnt) for name, one in facts.items()}
    family = [facts[one] for one in design["bases"] or (main,)]

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        # No claim asks what its entrants cost.
        # A design is fixed before it is run, so a budget ends it and cuts nothing of it.
        settings = RunSettings(
            device=device,
            budget=seconds,
            costs=False,
            shapes=False,
            execution={} if executor is None else {"executor": executor},
            mix_versions=mix_versions,
        )
        try:
            execute(Study.from_mapping(mapping), place, shown, settings)
        except StoppedEarly as early:
            raise early.stopped from None

    suite = Suite(
        claims=claims,
        asked=list(asked),
        is_anew=bool(names),
        carried=carried_claims(read_json(place / JSON_FILE), gone) if gone else {},
        facts=sorted(family, key=lambda one: one.parameters),
        main=facts[main],
        size=size,
        data=learnt,
        device=resolved,
        out=place,
        run_study=run_study,
        say=note,
        deadline=None if most is None else started + most,
    )
    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        write_bytes(place / DESIGN_FILE, (json.dumps(design, indent=2) + "\n").encode("utf-8"))
    with StopSignals() as signals, signals.deferred():
        suite = replace(suite, signals=signals)
        found = run_suite(suite)
        content = as_mapping(suite, found)
        with disk_errors(place):
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
            write_bytes(place / JSON_FILE, text.encode("utf-8"))
            write_bytes(place / PAGE_FILE, build_page(suite, found).encode("utf-8", "replace"))
        results = ClaimResults(
            folder=place,
            claims=content["claims"],
            failed=found.failures.said,
            traces=found.failures.traces,
        )
        if found.failures.is_stopped(suite):
            stopped = found.failures.stopped
            raise ClaimsStopped(
                stopped.exit_code if isinstance(stopped, Stopped) else EXIT_INTERRUPTED,
                str(stopped) or "Interrupted.",
                results,
            )
    return results


def _check_family(family: Sequence[BaseFacts]) -> None:
    """Refuses bases that are one under two names.

    Raises:
        ConfigError: naming them.
    """
    known: dict[str, str] = {}
    for one in family:
        other = known.setdefault(one.fingerprint, one.reference)
        if other != one.reference:
            raise ConfigError(
                f"--bases: {other} and {one.reference} are the same weights, which would count "
                "twice; give one of them"
            )


def _checked_fingerprints(
    place: Path, earlier: Mapping[str, Any] | None, facts: Mapping[str, BaseFacts]
) -> dict[str, str]:
    """The weights that a folder's claims are about, by base.

    Raises:
        ConfigError: some of them changed since.
    """
    before = (earlier or {}).get("fingerprints") or {}
    now = {name: one.fingerprint for name, one in facts.items()}
    changed = [name for name, found in now.items() if before.get(name, found) != found]
    if changed:
        raise ConfigError(
            f"{place}: holds claims about other weights of {' and '.join(changed)}, which changed "
            "since; restore them, or give another folder with --out"
        )
    return {**before, **now}


def _place_of(data: str | None) -> str | None:
    """Data as another call in another folder would name them."""
    return str(Path(data).resolve()) if data is not None and Path(data).exists() else data


def _base_place(reference: str) -> str:
    """A base as a call in another folder would name it: a folder by its whole path."""
    from bakeoff.base.weights.sources import folder_named

    folder = folder_named(reference, Path.cwd()) if reference.strip() else None
    return reference if folder is None else str(folder)


def _earlier(place: Path) -> Mapping[str, Any] | None:
    """The design of the claims that a folder holds; None where it holds none.

    Raises:
        ConfigError: they are of a version that kept none.
    """
    found = read_json(place / DESIGN_FILE)
    if isinstance(found, dict):
        return found
    if (place / JSON_FILE).exists():
        raise ConfigError(
            f"{place}: holds claims of an older version, whose studies have other names, or its "
            f"{DESIGN_FILE} is torn; give another folder with --out"
        )
    return None


def _joined_design(
    place: Path,
    earlier: Mapping[str, Any],
    design: Mapping[str, Any],
    hash_of: Callable[[str], str],
) -> dict[str, Any]:
    """The design of all claims of a folder: the bases of a family may come, all else is fixed.

    Bases are called as the folder has them, where they are the same weights under other names.

    Args:
        place: the folder. earlier: its design. design: the call's. hash_of: of a base's weights.

    Raises:
        BaseModelError: a base is not here.
        ConfigError: it holds claims of another one, with which these are no family, or a base's
            folder was moved.
    """
    if "numbers" not in earlier and earlier.get("size") == "quick":
        earlier = {**earlier, "numbers": design["numbers"]}  # they have not changed since
    before = list(earlier.get("bases") or [])
    known = earlier.get("fingerprints") or {}
    joined = {**design, "bases": design["bases"] or before}
    [joined["base"]] = _as_known([joined["base"]], [earlier.get("base")], known, hash_of)
    joined["bases"] = _as_known(joined["bases"], before, known, hash_of)
    for moved in (joined["base"], *joined["bases"]):
        # Studies are called by it, so that another place would have them trained again.
        if Path(moved).is_absolute() and not Path(moved).is_dir():
            raise ConfigError(
                f"{place}: its claims are about the base in {moved}, which is not there any more; "
                "put the folder, or a link to it, back there, or give another folder with --out"
            )
    fixed = {**earlier, "bases": before or joined["bases"]}
    others = [
        f"{key} {fixed.get(key)!r} and {value!r}"
        for key, value in joined.items()
        if fixed.get(key) != value
    ]
    if others:
        raise ConfigError(
            f"{place}: holds claims of another design (there and here: {', '.join(others)}), and "
            "all claims of a folder are decided together; give another folder with --out"
        )
    return joined


def _as_known(
    bases: list[str],
    before: list[Any],
    known: Mapping[str, str],
    hash_of: Callable[[str], str],
) -> list[str]:
    """The bases as a folder's design has them, where they are the same ones; else as they are.

    Args:
        bases: of the call. before: of the design. known: hashes of weights, by base; those of old
            versions kept none. hash_of: of a base that is here.
    """
    if bases == before or len(bases) != len(before) or not all(one in known for one in before):
        return bases
    # A base under its old name is looked at later, as its weights may have changed.
    hashes = [known[one] if one in before else hash_of(one) for one in bases]
    return before if sorted(hashes) == sorted(known[one] for one in before) else bases
