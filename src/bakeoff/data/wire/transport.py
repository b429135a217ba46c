"""Railways, bridges and airports: works, delays and closures."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import (
    DAYS,
    MONTHS,
    TRANSPORT_SECTORS,
    company,
    first_name,
    last_name,
    places,
)

# What is closed, who uses it, what replaces it, and why.
_KINDS: Final = (
    ("rail line", "passengers", "buses", "a signal fault"),
    ("rail line", "passengers", "coaches", "cracks in the track"),
    ("motorway", "drivers", "a detour", "a burst water main"),
    ("road bridge", "drivers", "a ferry", "rust in its cables"),
    ("road tunnel", "drivers", "a detour", "a lorry fire"),
    ("ferry route", "passengers", "a smaller boat", "a broken ramp"),
    ("tram line", "passengers", "buses", "a fallen wire"),
    ("canal", "skippers", "a detour", "a damaged lock"),
)


def _event(draw: Draw) -> Facts:
    start, end = places(draw)
    kind, users, instead, cause = draw.pick(_KINDS)
    operator, short = company(draw, TRANSPORT_SECTORS)
    return {
        "start": start,
        "end": end,
        "kind": kind,
        "kind_cap": kind.capitalize(),
        "users": users,
        "users_cap": users.capitalize(),
        "instead": instead,
        "cause": cause,
        "operator": operator,
        "short": short,
        "count": f"{draw.integer(2, 99) * 500:,}",
        "weeks": str(draw.integer(2, 40)),
        "cost": str(draw.integer(2, 95)),
        "first": first_name(draw),
        "last": last_name(draw),
        "day": draw.pick(DAYS),
        "month": draw.pick(MONTHS),
        "age": str(draw.integer(12, 140)),
    }


TRANSPORT: Final = Desk(
    name="transport",
    event=_event,
    key=("start", "end", "kind", "weeks", "count"),
    leads=slot(
        "{users_cap} [face|must expect|can look forward to] [a hard time|long delays|early "
        "mornings] [between|on the way between] {start} and {end}.",
        "[The {kind}|An important {kind}] [between|linking] {start} and {end} was [closed without "
        "warning|shut] on {day}.",
        "[Long queues|Angry crowds|Confusion] [formed|were seen] in {start} on {day} [after|when] "
        "the {kind} to {end} was [closed|shut].",
        "[Anyone who travels|Whoever travels] from {start} to {end} [needed patience|had a bad "
        "morning|was late] on {day}.",
        "[Engineers|Inspectors] [found|came upon] {cause} on the {kind} [from|out of] {start} on "
        "{day}.",
    ),
    body=(
        slot(
            "The {kind} between {start} and {end} will [stay closed|remain closed|be shut] for "
            "{weeks} weeks [because of|owing to] {cause}.",
            "[Because of|Owing to] {cause}, the {kind} from {start} to {end} [is closed|will be "
            "closed] for {weeks} weeks.",
            "[Repairs|The works], [made necessary by|needed because of] {cause}, [will close|"
            "close] the {kind} between {start} and {end} for {weeks} weeks.",
        ),
        slot(
            "[About|Some|Around] {count} {users} [use it every day|are affected each day|depend "
            "on it daily].",
            "[Every day|Daily], {count} {users} [use|rely on] [the connection|the {kind}].",
            "[The closure|The decision] [affects|hits] {count} {users} a day[|, according to "
            "{short}].",
        ),
        slot(
            "{first} {last} of [the operator|its operator], {operator}, [asked for patience|"
            "apologised to all {users}|said safety came first].",
            '"[Safety comes first|We are sorry for the trouble|There was no other way]," said '
            "{first} {last} of {operator}, the operator.",
            "[The operator|Its operator], {operator}, [said through|let it be known by] its "
            "spokesperson {first} {last} that [safety came first|there was no choice].",
        ),
    ),
    echoes=slot(
        "{last} [said|promised] that [{instead} would be in place|there would be {instead}] "
        "[from {start}|by {day}|within hours].",
        "[Business owners|Hotels|Shops] in {end} [fear|expect] [quiet weeks|losses] [over the "
        "{weeks} weeks|while the {kind} is shut].",
        "{short} [has run|took over] the {kind} [for years|only in {month}].",
        "[Not all of the {count} {users}|Few of the {count} {users}] [have a choice|can work at "
        "home], {last} [said|admitted].",
        "[In {start}|In {end}], [the council|a group of {users}] [wants answers from {short}|asked "
        "{last} to explain].",
    ),
    colour=slot(
        "The [repairs|works] [will cost|cost] about ${cost} million.",
        "The {kind} is {age} years old[| and has been patched many times].",
        "[A similar closure|The last closure] [ended in court|took twice as long].",
        "[Signs|Maps|Timetables] [have been changed|will be changed within days].",
        "[Experts|Unions] have [warned|complained] for years that [too little is spent|staff are "
        "missing].",
        "[The ministry|The state] [will pay part of the bill|has ordered a report].",
        "[Work goes on|Crews will work] [at night|in three shifts|at weekends too].",
        "[Nobody was hurt|There were no injuries].",
    ),
    highlights=(
        slot(
            "{kind_cap} between {start} and {end} [closed|shut] for {weeks} weeks.",
            "{start} to {end} {kind} [is closed|is shut|closes] for {weeks} weeks.",
        ),
        slot(
            "{count} {users} a day are affected.",
            "Closure [affects|hits] {count} {users} [a day|daily].",
        ),
        slot(
            "Operator {operator} [explains|defends] the closure.",
            "{first} {last} [speaks for|answers for] operator {operator}.",
        ),
    ),
)
