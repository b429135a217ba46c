"""Studies and finds."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import DAYS, MONTHS, first_name, last_name, places

_HABITS: Final = (
    "a daily walk",
    "a short nap",
    "cold showers",
    "evening reading",
    "gardening",
    "green tea",
    "learning a language",
    "playing chess",
    "regular singing",
    "riding a bicycle",
    "swimming",
    "yoga",
)
_EFFECTS: Final = (
    "back pain",
    "bad sleep",
    "headaches",
    "heart trouble",
    "high blood pressure",
    "loss of memory",
    "low mood",
    "stress",
    "tiredness",
)


def _event(draw: Draw) -> Facts:
    town, other = places(draw)
    habit, effect = draw.pick(_HABITS), draw.pick(_EFFECTS)
    return {
        "town": town,
        "other": other,
        "school": f"University of {town}",
        "habit": habit,
        "habit_cap": habit[0].upper() + habit[1:],
        "effect": effect,
        "percent": str(draw.integer(6, 58)),
        "people": f"{draw.integer(3, 240) * 50:,}",
        "years": str(draw.integer(2, 20)),
        "first": first_name(draw),
        "last": last_name(draw),
        "critic_first": first_name(draw),
        "critic": last_name(draw),
        "journal": draw.pick(
            ("a medical journal", "an open archive", "a journal of public health")
        ),
        "day": draw.pick(DAYS),
        "month": draw.pick(MONTHS),
    }


SCIENCE: Final = Desk(
    name="science",
    event=_event,
    key=("town", "habit", "effect", "people", "last"),
    leads=slot(
        "[Doctors|Teachers|Grandparents] have [long said it|always known it], and now [there are "
        "numbers|there is a study]: {habit} [is good for you|may be worth the time].",
        "[A new study|Research] from the {school}, [published on|out on] {day}, [looks at|deals "
        "with] {habit}.",
        "[What helps against|Is there a cure for] {effect}? [Researchers|Scientists] in {town} "
        "[may have an answer|think they know].",
        "[People who suffer from|Those with] {effect} may [soon hear|get] [simple|unusual] advice "
        "from their doctor[|, a study suggests].",
        "[Researchers|A team] in {town} [spent|has spent] {years} years [asking|watching] how "
        "people [live|spend their days], and [the result|the outcome] [surprised them|came out on "
        "{day}].",
    ),
    body=(
        slot(
            "[According to|In] the study, {habit} [lowered|cut|reduced] the risk of {effect} by "
            "{percent} percent.",
            "{habit_cap} [lowered|cut|reduced] the risk of {effect} by {percent} percent[|, the "
            "team found|, the figures show].",
            "The risk of {effect} [was|turned out to be] {percent} percent lower [with|thanks to] "
            "{habit}[|, the authors write].",
        ),
        slot(
            "The [team|group] at the {school} [followed|observed] {people} people for {years} "
            "years.",
            "[For {years} years|Over {years} years], the {school} [followed|watched] {people} "
            "people[| of all ages].",
            "[In all|Altogether], {people} people [took part|were followed] for {years} years [at "
            "the {school}|in a project of the {school}].",
        ),
        slot(
            "{first} {last}, who led the [work|study|team], said [more research was needed|the "
            "effect was larger than expected|nobody should expect wonders].",
            '"[The effect is clear|We checked the numbers twice|It costs nothing to try]," said '
            "{first} {last}, who led the study.",
            "[Lead author {first} {last}|The lead author, {first} {last},] [was careful|warned "
            "against quick conclusions|spoke of a clear pattern].",
        ),
    ),
    echoes=slot(
        "{last} [took up {habit} last year|has tried {habit} as well|says {habit} is not for "
        "everyone].",
        "{critic_first} {critic}, [who was not involved|of another institute in {other}], [called "
        "{percent} percent surprising|said {people} people were not enough].",
        "{last} [wants to repeat|hopes to repeat] the [work|study] with more than {people} people.",
        "[A third|Half] of the {people} people [came from|lived in] {town}.",
        '"[Nobody should rely on {habit} alone|We did not set out to study {effect}]," {last} '
        "[said|added].",
        "[Whether {habit} helps everyone|Why {habit} helps] is [not clear|an open question], "
        "{last} [said|admitted].",
    ),
    colour=slot(
        "The [paper|article] [appeared in|can be read in] {journal}.",
        "[Money|Funding] came from [the state|a foundation|two charities].",
        "[Earlier studies|Other teams] had [found|seen] [less|nothing of the kind].",
        "[Diet|Income|Age] [was taken into account|may play a part].",
        "[Not all|Few] [experts|doctors] are [convinced|surprised].",
        "[A second part|A larger trial] [begins|is planned] in {month}.",
        "[Some|Many] of those who took part [kept a diary|wore a sensor].",
        "[Such studies|Studies of this kind] [cannot prove a cause|are hard to repeat].",
    ),
    highlights=(
        slot(
            "{habit_cap} [lowers|cuts|reduces] risk of {effect} by {percent} percent.",
            "Risk of {effect} is {percent} percent lower with {habit}.",
            "Study: {habit} [lowers|cuts] risk of {effect} by {percent} percent.",
        ),
        slot(
            "{school} [followed|observed] {people} people for {years} years.",
            "{people} people [took part|were followed] for {years} years.",
        ),
        slot(
            "{first} {last} led the [study|work|team].",
            "[Study|Work] was led by {first} {last}.",
        ),
    ),
)
