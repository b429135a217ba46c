"""Council meetings."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import (
    DAYS,
    MONTHS,
    first_name,
    last_name,
    other_last_name,
    place,
    places,
)

_PROJECTS: Final = (
    "library",
    "swimming pool",
    "bus station",
    "primary school",
    "market hall",
    "cycle bridge",
    "fire station",
    "skate park",
    "concert hall",
    "health centre",
    "tram line",
    "sports ground",
)


def _event(draw: Draw) -> Facts:
    town, other = places(draw)
    last = last_name(draw)
    votes = draw.integer(14, 44)
    approved = draw.chance(0.65)
    return {
        "town": town,
        "other": other,
        "street": f"{place(draw)} {draw.pick(('Road', 'Street', 'Lane', 'Square', 'Avenue'))}",
        "project": draw.pick(_PROJECTS),
        "cost": f"{draw.integer(1, 60)}.{draw.integer(1, 9)}",
        "yes": str(votes),
        "no": str(draw.integer(3, votes - 2)),
        "approved": "approved" if approved else "rejected",
        "approves": "approves" if approved else "rejects",
        "said": draw.pick(
            ("a good day for the town", "long overdue", "money well spent")
            if approved
            else ("a missed chance", "a sad day for the town", "hard to understand")
        ),
        "first": first_name(draw),
        "last": last,
        "critic_first": first_name(draw),
        "critic": other_last_name(draw, last),
        "day": draw.pick(DAYS),
        "month": draw.pick(MONTHS),
        "letters": str(draw.integer(30, 890)),
    }


COUNCIL: Final = Desk(
    name="council",
    event=_event,
    key=("town", "project", "cost", "last"),
    leads=slot(
        "[After a long debate|After hours of debate|Late at night], [the council of|councillors "
        "in] {town} [came to a decision|cast their votes] on {day}.",
        "[The public seats were full|Every seat was taken] when the council of {town} [met|came "
        "together] on {day}.",
        "[A dispute|An argument|A quarrel] that has [divided|occupied] {town} for [months|years] "
        "[came to a head|reached the council] on {day}.",
        "[Plans for|The future of] a plot on {street} [brought|drew] [a large crowd|many people] "
        "to the town hall of {town} on {day}.",
        "Councillors in {town} {approved} [a plan|a proposal] for a new {project} on {day}.",
    ),
    body=(
        slot(
            "[The council|Councillors|The members] {approved} the new {project} by {yes} votes to "
            "{no}.",
            "[In the end|After a last exchange], a new {project} was {approved} by {yes} votes to "
            "{no}.",
            "By {yes} votes to {no}, the [council|assembly] {approved} [the plan for|plans for] a "
            "new {project}[| in {street}].",
        ),
        slot(
            "[The project|The {project}|The building] [would cost|is priced at|comes with a bill "
            "of] ${cost} million[|, more than first thought|, paid over ten years].",
            "[The cost|The price] [is put at|was given as] ${cost} million[|, half of it from the "
            "state|, not counting the land].",
            "[Officials|Planners] [estimate|put] the cost at ${cost} million[|, with work to start "
            "in {month}].",
        ),
        slot(
            "[Mayor {first} {last}|The mayor, {first} {last},] [called the vote|said the "
            "decision was] {said}.",
            '"[This is|The vote is|For me it is] {said}," [said mayor|said the mayor,] {first} '
            "{last}.",
            "For [mayor {first} {last}|the mayor, {first} {last},] the [result|outcome] was "
            "{said}.",
        ),
    ),
    echoes=slot(
        "{last} [had campaigned for|first proposed|had long spoken for] the {project}.",
        "{critic_first} {critic}, [a councillor|of the opposition], [said|warned] that ${cost} "
        "million [was a lot for {town}|would be missed elsewhere].",
        "{last} and {critic} [shook hands|argued again] after the {yes} to {no} vote.",
        "[Nearby|Neighbouring] {other} built a {project} [years ago|for less than ${cost} "
        "million].",
        "People in {town} [have waited|had asked] [a decade|a long time] for a {project}, {last} "
        "[said|added].",
    ),
    colour=slot(
        "[The council|The town hall] [received|counted] {letters} letters [on the matter|from "
        "residents].",
        "The [meeting|session] [lasted four hours|ended near midnight|was streamed online].",
        "[Parking|Noise|Traffic] was the [main worry|subject of many questions].",
        "[The next meeting|The next session] is in {month}.",
        "[A petition|A group of neighbours] [may go to court|wants another vote].",
        "[Other items|Several smaller matters] were [put off|passed without debate].",
        "[An architect|A planner] [showed drawings|answered questions] [for an hour|before the "
        "vote].",
        "[The budget|Money] has been [tight|short] since [spring|the last election].",
    ),
    highlights=(
        slot(
            "{town} council {approves} new {project}[| by {yes} votes to {no}].",
            "[Council|Councillors] in {town} {approved} [plan for|plans for] new {project}.",
            "New {project} in {town} is {approved} by {yes} votes to {no}.",
        ),
        slot(
            "[Project|Plan] [would cost|is priced at|has a cost of] ${cost} million.",
            "The cost is put at ${cost} million.",
        ),
        slot(
            "Mayor {first} {last} [calls|considers] it {said}.",
            "For mayor {first} {last} it is {said}.",
        ),
    ),
)
