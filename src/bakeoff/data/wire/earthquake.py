"""Earthquakes."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import DAYS, first_name, last_name, places, region


def _event(draw: Draw) -> Facts:
    town, other = places(draw)
    return {
        "magnitude": f"{draw.integer(4, 7)}.{draw.integer(0, 9)}",
        "town": town,
        "other": other,
        "region": region(draw),
        "depth": str(draw.integer(5, 90)),
        "distance": str(draw.integer(8, 120)),
        "side": draw.pick(("north", "south", "east", "west", "north-east", "south-west")),
        "injured": str(draw.integer(3, 480)),
        "buildings": str(draw.integer(12, 900)),
        "aftershocks": str(draw.integer(4, 60)),
        "first": first_name(draw),
        "last": last_name(draw),
        "day": draw.pick(DAYS),
        "time": draw.pick(("dawn", "noon", "midnight", "breakfast time", "dusk")),
    }


EARTHQUAKE: Final = Desk(
    name="earthquake",
    event=_event,
    key=("magnitude", "town", "injured", "region"),
    leads=slot(
        "[A strong|A powerful|A shallow|An] earthquake [shook|rattled|struck] [the {region} "
        "region|part of {region}|eastern {region}] [on {day}|shortly before {time} on {day}].",
        "[Thousands|Hundreds] of people [ran into the streets|fled their homes|spent the night "
        "outdoors] in {region} [after the ground shook|when an earthquake struck] on {day}.",
        "Rescue [teams|workers] [searched|were searching] [damaged houses|the rubble] in "
        "{town} on {day} after an earthquake in {region}.",
        "[Walls cracked|Windows broke|Church bells rang by themselves] [around|at] {time} on "
        "{day} when the [earth|ground] moved [under|near] {town} in {region}.",
        "[Life in|The town of] {town} [came to a halt|was at a standstill] on {day} after one of "
        "the [longest|strongest] tremors that {region} has felt [in years|this century].",
    ),
    body=(
        slot(
            "The [quake|earthquake|tremor] had a magnitude of {magnitude} and [its centre lay|was "
            "centred] {distance} kilometres {side} of {town}.",
            "[Seismologists|The geological survey] [put|measured] the magnitude at {magnitude} and "
            "[placed|located] the centre {distance} kilometres {side} of {town}.",
            "[Measured at|With a] magnitude {magnitude}, [it|the quake] struck {distance} "
            "kilometres {side} of {town}, at a depth of {depth} kilometres.",
        ),
        slot(
            "[At least|Some|About] {injured} people were [injured|hurt][ and taken to "
            "hospital| by falling bricks|, most of them lightly].",
            "[Hospitals|Doctors|The health ministry] [reported|counted|spoke of] {injured} "
            "injured[| people|, none of them in danger].",
            "[The number of injured|The count of injured people] [stood at|rose to|reached] "
            "{injured} [by evening|by the afternoon|late in the day].",
        ),
        slot(
            "{first} {last}, who leads the [rescue effort|civil defence office], said {buildings} "
            "buildings [were damaged|had been damaged|were unsafe].",
            "[Civil defence chief|Rescue leader] {first} {last} said {buildings} buildings [had "
            "been damaged|were no longer safe].",
            "[Inspectors|Engineers] found damage in {buildings} buildings, [according to|said] "
            "{first} {last} of the [rescue service|civil defence office].",
        ),
    ),
    echoes=slot(
        "{last} [asked|told] people in {town} [not to enter their homes|to expect aftershocks|to "
        "boil their water].",
        "[Most of the {injured} injured|Many of the {injured} people hurt] [live in|come from] "
        "{town}[| and nearby {other}].",
        "[The last quake|An earlier quake] [above|near] magnitude {magnitude} in {region} was "
        "[decades|many years] ago.",
        '"[We will rebuild {town}|{town} will stand again|{town} has been through worse]," {last} '
        "[said|told reporters].",
        "[Of the {buildings} buildings|Among the {buildings} damaged buildings], [several were "
        "schools|most are old|some may have to come down], {last} said.",
    ),
    colour=slot(
        "[Seismologists|Experts] [counted|recorded] {aftershocks} aftershocks.",
        "[The region|This area] lies on [a known fault|the edge of two plates].",
        "[Tents|Blankets|Water and food] [were on their way|arrived by lorry|were handed out].",
        "No [tsunami warning|alert for the coast] was [given|issued].",
        "[Telephone lines|Mobile networks] [failed|were overloaded] for [an hour|much of the day].",
        "[One woman|A shopkeeper|A bus driver] said [it felt like a train passing|the floor moved "
        "like water].",
        "[Neighbouring countries|Several countries] [offered help|sent teams].",
        "[Schools|Offices] will [stay closed|remain shut] for the [week|time being].",
    ),
    highlights=(
        slot(
            "Magnitude {magnitude} [earthquake|quake] [strikes|hits] [near|close to] {town}.",
            "[Earthquake|Quake] of magnitude {magnitude} [shakes|rattles] {town} in {region}.",
            "{region} [shaken|hit] by magnitude {magnitude} [earthquake|quake].",
        ),
        slot(
            "[At least {injured}|{injured}] people are [injured|hurt].",
            "{injured} people [injured|hurt], [hospitals|officials] say.",
        ),
        slot(
            "{first} {last} says {buildings} buildings [are damaged|were damaged].",
            "{buildings} buildings are damaged, {first} {last} says.",
        ),
    ),
)
