"""Storms, floods, snow and heat."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import DAYS, first_name, last_name, places, region

# What the weather is called, what it brings, how that is measured, and what it does.
_KINDS: Final = (
    ("storm", "rain", "millimetres", "flooded streets", (40, 190)),
    ("blizzard", "snow", "centimetres", "blocked roads", (20, 95)),
    ("hailstorm", "hail", "millimetres", "smashed greenhouses", (20, 70)),
    ("cloudburst", "rain", "millimetres", "washed out bridges", (60, 220)),
    ("snowstorm", "snow", "centimetres", "stranded lorries", (15, 80)),
    ("thunderstorm", "rain", "millimetres", "toppled trees", (30, 120)),
)


def _event(draw: Draw) -> Facts:
    kind, water, unit, damage, (low, high) = draw.pick(_KINDS)
    town, other = places(draw)
    role = draw.pick(("mayor", "forecaster", "rescue chief", "duty officer"))
    return {
        "kind": kind,
        "kind_cap": kind.capitalize(),
        "water": water,
        "unit": unit,
        "damage": damage,
        "amount": str(draw.integer(low, high)),
        "town": town,
        "other": other,
        "region": region(draw),
        "homes": f"{draw.integer(2, 98) * 100 + draw.integer(0, 1) * 50:,}",
        "wind": str(draw.integer(60, 165)),
        "first": first_name(draw),
        "last": last_name(draw),
        "role": role,
        "role_cap": role.capitalize(),
        "day": draw.pick(DAYS),
        "next": draw.pick(DAYS),
    }


WEATHER: Final = Desk(
    name="weather",
    event=_event,
    key=("town", "kind", "amount", "homes"),
    leads=slot(
        "A [violent|fierce|sudden|powerful] {kind} [swept across|tore through|battered|hit] "
        "{town} on {day}[|, leaving behind {damage}|, catching many people off guard].",
        "[People|Families|Residents] in {town} [woke|rose] on {day} to {damage} after a [night "
        "of chaos|long and noisy night].",
        "The [worst|heaviest|strongest] {kind} in [years|a decade|living memory] [reached|struck] "
        "{town} [late|early] on {day}.",
        "[Schools stayed shut|Shops were closed|Buses stood still] in {town} on {day} as "
        "{water} [fell without pause|kept falling|came down hard].",
        "Crews in {region} [were still at work|worked through the night] on {day} after a {kind} "
        "[crossed|passed over] the town of {town}.",
    ),
    body=(
        slot(
            "[Gauges|Instruments|Weather stations] in {town} [recorded|measured|counted] {amount} "
            "{unit} of {water} [in 24 hours|within a day|by nightfall].",
            "[About|Around|Some] {amount} {unit} of {water} fell on {town} [overnight|in a few "
            "hours|before dawn], [the weather service said|according to forecasters].",
            "The {kind} [dropped {amount} {unit} of {water} on|brought {amount} {unit} of {water} "
            "to] {town}, [more than usual for a month|far above the forecast].",
        ),
        slot(
            "[Some|About|Nearly] {homes} homes [lost power|were without power|were left in the "
            "dark] [as lines came down|when a substation failed|after poles snapped].",
            "[Engineers|The grid operator|Power crews] said {homes} homes had [lost power|no "
            "power|been cut off from the grid].",
            "Power [failed|was cut] in {homes} homes [across the area|between {town} and {other}].",
        ),
        slot(
            "{first} {last}, the {role}, [urged people to stay indoors|asked drivers to keep off "
            "the roads|warned of more {water} to come].",
            'The {role}, {first} {last}, said: "[Stay at home and check on your neighbours|We have '
            'not seen the end of this|Please do not travel unless you must]."',
            '"[This is not the day to travel|Our teams are stretched|Nobody should take risks '
            'now]," said {role} {first} {last}.',
        ),
    ),
    echoes=slot(
        "{last} [added|said] that {town} [would need days to recover|had been lucky|was better "
        "prepared than last time].",
        "[Power should return to the {homes} homes|The {homes} homes should have power again] by "
        "{next}, {last} [said|added].",
        "[The {amount} {unit} of {water}|{amount} {unit}] [set|was] a record for {town}, "
        "[officials said|records show].",
        "In {town}, {last} [thanked|praised] [volunteers|the fire service|the road crews].",
        "[Neighbouring|Nearby] {other} [escaped the worst|fared better than {town}|sent help to "
        "{town}].",
    ),
    colour=slot(
        "Winds [reached|gusted to] {wind} kilometres an hour [on the coast|in the hills].",
        "[Trains|Ferries|Flights] were [cancelled|delayed] [for most of the day|until further "
        "notice].",
        "No [injuries|deaths] were reported.",
        "[A sports hall|The library|A church] was opened [as a shelter|to those who could not go "
        "home].",
        "Such weather is [rare|not unusual] [at this time of year|in this part of {region}].",
        "[Insurers|Shopkeepers|Farmers] [have begun to count|were counting] the cost.",
        "[Forecasters expect|The forecast speaks of] [drier|calmer|milder] days from {next}.",
        "Some [took pictures|cleared gutters|filled sandbags] while others [waited|slept].",
    ),
    highlights=(
        slot(
            "{kind_cap} [brings|drops] {amount} {unit} of {water} [on|to] {town}.",
            "{amount} {unit} of {water} [fall on|hit] {town}.",
            "{town} hit by {kind} with {amount} {unit} of {water}.",
        ),
        slot(
            "{homes} homes [are left without power|lose power|are without power].",
            "Power fails in {homes} homes.",
        ),
        slot(
            "{role_cap} {first} {last} [urges caution|warns residents|calls for care].",
            "{first} {last} [warns|tells] people to [stay safe|take care].",
        ),
    ),
)
