"""Football matches."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import DAYS, club, first_name, last_name, other_last_name, places


def _event(draw: Draw) -> Facts:
    winner_town, loser_town = places(draw)
    lost = draw.integer(0, 3)
    scored = lost + draw.integer(1, 3)
    last = last_name(draw)
    late = draw.integer(61, 89)
    return {
        "winner": club(draw, winner_town),
        "win": winner_town,
        "loser": club(draw, loser_town),
        "lose": loser_town,
        "score": f"{scored}-{lost}",
        "first": first_name(draw),
        "last": last,
        "minute": str(late),
        "coach_first": first_name(draw),
        "coach": other_last_name(draw, last),
        "crowd": f"{draw.integer(3, 68)},{draw.integer(0, 999):03d}",
        "points": str(draw.integer(8, 86)),
        "place": draw.pick(("second", "third", "fourth", "fifth", "sixth", "seventh", "tenth")),
        "day": draw.pick(DAYS),
        "next": draw.pick(DAYS),
    }


FOOTBALL: Final = Desk(
    name="football",
    event=_event,
    key=("winner", "loser", "score", "last"),
    leads=slot(
        "{winner} [gave their fans reason to sing|put a poor run behind them|moved up the table] "
        "on {day} [with a win over|after beating|at the expense of] {lose}.",
        "[There was joy|There were songs|The party began early] in {win} on {day} [after|as] the "
        "home side [saw off|overcame|outplayed] {loser}.",
        "A [tense|lively|scrappy|one-sided] [match|game] between {winner} and "
        "{loser} was [decided late|settled by one player|played in heavy rain] on {day}.",
        "[Supporters of|The fans of] {loser} [went home early|left in silence] on {day} [after a "
        "visit to|after a bad day at] {win}.",
        "[Nobody|Few people] had [expected|foreseen] [such a game|what happened] when {loser} "
        "[came to|visited] {win} on {day}.",
    ),
    body=(
        slot(
            "{winner} [beat|defeated] {loser} {score} [in front of {crowd} people|before a crowd "
            "of {crowd}|at home].",
            "[The final score was|It ended] {score} [to|for] {winner} against {loser}[|, a fair "
            "result|, and it could have been more].",
            "{loser} lost {score} to {winner}[| in a match with few fouls|, their third defeat in "
            "a row].",
        ),
        slot(
            "[The decisive goal|The goal that settled it] came from {first} {last} in minute "
            "{minute}[|, from close range|, after a long pass].",
            "{first} {last} [scored|struck|found the net] in minute {minute} [from the edge of the "
            "area|after a corner|with a low shot] to [decide|settle] the match.",
            "[It was|In the end it was] {first} {last} who [decided the game|made the difference] "
            "[with a header|with a free kick] in minute {minute}.",
        ),
        slot(
            "[Coach|Manager] {coach_first} {coach} [praised|was pleased with] [the defence|the "
            "work of the whole team|the young players].",
            '"[We deserved this|I am proud of the team|We kept our heads]," said {win} [coach|'
            "manager] {coach_first} {coach}.",
            "The [coach|manager], {coach_first} {coach}, said [the team had shown character|the "
            "players had earned a day off|the win had been hard work].",
        ),
    ),
    echoes=slot(
        "{last} [has now scored in three games in a row|came close again near the end|left the "
        "field to applause|was named player of the match].",
        '"{last} [is a gift to any team|trains harder than anyone|never stops running]," {coach} '
        "[said|added].",
        "{win} [are now|climbed to] {place} [in the table|in the league] with {points} points.",
        "{lose} had [started well|more of the ball|hit the post early], but {last} [had the last "
        "word|punished their mistakes].",
        "{coach} said {lose} [had been hard to beat|had made it difficult|were better than the "
        "{score} suggests].",
    ),
    colour=slot(
        "[The referee|The official] showed [four|five|three|six] yellow cards.",
        "[Rain|A cold wind|Low sun] made [passing|life] hard [for both sides|for the goalkeepers].",
        "[Both teams|The two sides] [play again|are in action again] on {next}.",
        "A [penalty|goal] was [ruled out|taken back] after [a long check|a video review].",
        "The first half [had little to offer|was even|brought few chances].",
        "[Tickets|All seats] had been sold out for [weeks|days].",
        "[Two players|A defender|The captain] [limped off|had to be replaced] [before the "
        "break|with an injured knee].",
        "[The league|The season] [ends|pauses] in [a few weeks|a month].",
    ),
    highlights=(
        slot(
            "{winner} [beat|defeat] {loser} {score}.",
            "{loser} lose {score} to {winner}.",
            "{winner} win {score} against {loser}.",
        ),
        slot(
            "{first} {last} [scores|strikes] in minute {minute}.",
            "{first} {last} [decides|settles] the [match|game] in minute {minute}.",
            "Minute {minute} goal from {first} {last} [decides|settles] it.",
        ),
        slot(
            "[Coach|Manager] {coach_first} {coach} [praises|is happy with] the [team|players].",
            "{coach_first} {coach} [praises|hails] the [team|players].",
        ),
    ),
)
