"""Trials and sentences."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import (
    DAYS,
    MONTHS,
    company,
    first_name,
    last_name,
    other_last_name,
    place,
)

_JOBS: Final = (
    "accountant",
    "art dealer",
    "banker",
    "builder",
    "car dealer",
    "consultant",
    "engineer",
    "hotel manager",
    "jeweller",
    "landlord",
    "lawyer",
    "pharmacist",
)
_CRIMES: Final = ("fraud", "theft", "forgery", "bribery", "tax evasion", "arson", "smuggling")


def _event(draw: Draw) -> Facts:
    full, short = company(draw)
    last = last_name(draw)
    job = draw.pick(_JOBS)
    article = "an" if job[0] in "ae" else "a"
    return {
        "company": full,
        "short": short,
        "first": first_name(draw),
        "last": last,
        "age": str(draw.integer(24, 77)),
        "a_job": f"{article} {job}",
        "a_job_cap": f"{article.capitalize()} {job}",
        "crime": draw.pick(_CRIMES),
        "years": str(draw.integer(2, 15)),
        "sum": f"{draw.integer(20, 990) * 1000:,}",
        "town": place(draw),
        "judge_first": first_name(draw),
        "judge": other_last_name(draw, last),
        "witnesses": str(draw.integer(6, 70)),
        "weeks": str(draw.integer(2, 19)),
        "day": draw.pick(DAYS),
        "month": draw.pick(MONTHS),
    }


COURT: Final = Desk(
    name="court",
    event=_event,
    key=("first", "last", "town", "sum"),
    leads=slot(
        "[A trial|A case|Proceedings] that [kept {town} talking|filled the papers in {town}] for "
        "[weeks|months] [ended|came to a close] on {day}.",
        "[There was silence in court|Nobody spoke] [in {town}|at the {town} court] on {day} as "
        "the [verdict|sentence] was read out.",
        "{a_job_cap} from {town} [must go|is going] to prison, a court [decided|ruled] on {day}.",
        "[Judges|A jury] in {town} [needed only a day|took three days] to [reach a verdict|"
        "agree] in the case of {first} {last}.",
        "[Friends and relatives|Reporters and onlookers] [filled|crowded] the court in {town} on "
        "{day} [to hear the verdict|for the last day of a long trial].",
    ),
    body=(
        slot(
            "{first} {last}, {age}, {a_job}, was [sentenced to|given] {years} years in prison for "
            "{crime}.",
            "[The court|The jury] found {first} {last}, {a_job} aged {age}, guilty of {crime}, and "
            "the sentence is {years} years in prison.",
            "[For {crime}|Found guilty of {crime}], {first} {last}, {age}, [must spend|will "
            "serve] {years} years in prison[|, the court ruled].",
        ),
        slot(
            "[The damage|The loss] to {company} [was put at|came to|amounted to] ${sum}.",
            "{company} [lost|was robbed of] ${sum}[|, according to the charges|, the court heard].",
            "[Prosecutors|The prosecution] said {company} had lost ${sum}[| over several years|, "
            "and wants it back].",
        ),
        slot(
            "Judge {judge_first} {judge} [spoke of|saw] [a breach of trust|great greed|careful "
            "planning].",
            '"[You knew what you were doing|There is no excuse|You have shown no regret]," said '
            "judge {judge_first} {judge}.",
            "[The presiding judge|The judge], {judge_first} {judge}, [took account of|mentioned] "
            "[a late confession|a clean record|the age of the accused].",
        ),
    ),
    echoes=slot(
        "{last} [showed no emotion|wept|looked at the floor|asked for forgiveness] [as {judge} "
        "spoke|when the verdict came].",
        "[Lawyers for {last}|The defence team of {last}] [will appeal|may appeal|had asked for "
        "less than {years} years].",
        "{last} [worked for|had been trusted by] {short} [for a decade|until {month}].",
        "{judge} said {short} [had made it easy|had looked away|had suffered].",
        "[It is not known|Nobody knows] where the ${sum} [went|is now], [prosecutors|police] said.",
    ),
    colour=slot(
        "The [trial|hearing] [lasted|took] {weeks} weeks.",
        "[The court|The jury] heard {witnesses} witnesses.",
        "[Police|Detectives] [began to look into the case|searched several flats] in {month}.",
        "[Legal experts|Observers] had expected [a milder sentence|such an outcome].",
        "[A second|Another] [suspect|man] is [still at large|to stand trial later].",
        "[Evidence|Proof] came from [a phone|letters|an old computer].",
        "[The courtroom|The building] was [guarded|searched] [before the session|all day].",
        "Cases of this kind [have become more common|are seldom solved].",
    ),
    highlights=(
        slot(
            "{first} {last}, {age}, [gets|is given] {years} years in prison for {crime}.",
            "{first} {last} [sentenced to|jailed for] {years} years for {crime}.",
            "Court in {town} [jails|imprisons] {first} {last} for {years} years.",
        ),
        slot(
            "{company} [lost|had lost] ${sum}.",
            "Loss to {company} is put at ${sum}.",
            "Damage to {company} [came to|reached] ${sum}.",
        ),
        slot(
            "Judge {judge_first} {judge} [gives|explains] the sentence.",
            "[Verdict|Sentence] is read by judge {judge_first} {judge}.",
        ),
    ),
)
