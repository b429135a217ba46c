"""Company results."""

from __future__ import annotations

from typing import Final

from bakeoff.data.wire.phrasing import Desk, Draw, Facts, slot
from bakeoff.data.wire.pools import DAYS, MONTHS, company, first_name, last_name, place


def _event(draw: Draw) -> Facts:
    full, short = company(draw)
    rival, rival_short = company(draw)
    while rival_short == short:
        rival, rival_short = company(draw)
    rose = draw.chance(0.6)
    return {
        "company": full,
        "short": short,
        "rival": rival,
        "profit": str(draw.integer(12, 980)),
        "sales": f"{draw.integer(1, 48)}.{draw.integer(1, 9)}",
        "percent": str(draw.integer(2, 47)),
        "rose": "rose" if rose else "fell",
        "rises": "rises" if rose else "falls",
        "up": "up" if rose else "down",
        "moved": draw.pick(("gained", "added") if rose else ("lost", "shed")),
        "mood": draw.pick(("strong", "healthy") if rose else ("weak", "slow")),
        "jobs": f"{draw.integer(2, 96) * 50:,}",
        "plan": draw.pick(("cut", "create", "move")),
        "town": place(draw),
        "first": first_name(draw),
        "last": last_name(draw),
        "day": draw.pick(DAYS),
        "month": draw.pick(MONTHS),
        "shares": f"{draw.integer(1, 9)}.{draw.integer(1, 9)}",
    }


BUSINESS: Final = Desk(
    name="business",
    event=_event,
    key=("company", "profit", "percent", "last"),
    leads=slot(
        "{company} [surprised|left a mark on] [investors|the market|analysts] on {day} with "
        "[its results|its latest figures] for the [quarter|half year|year].",
        "[Investors|Shareholders|Analysts] had [waited for|looked forward to] the [results|"
        "figures] of {company}, and on {day} they [came|arrived].",
        "[Demand was {mood}|Business was {mood}] at {company} [over the past quarter|in the "
        "months to {month}], [the firm|the company] said on {day}.",
        "Shares in {company} {moved} {shares} percent on {day} [after the firm opened its "
        "books|in early trading].",
        "{company}, [which is based in|with headquarters in] {town}, [presented|published] its "
        "[figures|results] on {day}.",
    ),
    body=(
        slot(
            "[Net profit|Profit] {rose} {percent} percent to ${profit} million[| in the three "
            "months to {month}|, the company said].",
            "{short} [reported|posted|booked] a profit of ${profit} million, {up} {percent} "
            "percent [from|on] [a year earlier|the year before].",
            "[The company's|The group's] profit {rose} by {percent} percent and [stood at|came "
            "to] ${profit} million[|, slightly off forecasts].",
        ),
        slot(
            "{short} [plans|wants|intends] to {plan} {jobs} jobs [over two years|by next {month}|"
            "at its plants].",
            "[The firm|The company] will {plan} {jobs} jobs[|, most of them in {town}|, a "
            "spokesman said].",
            "[Under a new plan|In the coming year], {short} [will|is to] {plan} {jobs} jobs[|, the "
            "board decided].",
        ),
        slot(
            "[Chief executive {first} {last}|The chief executive, {first} {last},] [spoke of|"
            "looked back on] a {mood} year[| for the whole sector| and a fair result].",
            '"[It was a {mood} year|This was a {mood} year, and we know why|A {mood} year is no '
            'surprise]," said chief executive {first} {last}.',
            "{first} {last}, [the chief executive|chief executive of {short}], said [the year had "
            "been {mood}|a {mood} year lay behind the firm].",
        ),
    ),
    echoes=slot(
        "{last} [gave no forecast|said more would follow in {month}|thanked the staff in {town}].",
        "[With ${profit} million|At ${profit} million], profit [was near|stood close to] what "
        "[analysts|banks] [had expected|predicted].",
        "[Unions|Workers] at {short} [were told|learned] of the {jobs} jobs [in the morning|by "
        "letter|from {last}].",
        "{short} [competes|has long competed] with {rival}, which [reports next week|had a better "
        "year|did not comment].",
        '"[{short} is built to last|Nobody at {short} can rest|{short} has to move faster]," '
        "{last} [said|told analysts].",
    ),
    colour=slot(
        "[Sales|Revenue] [reached|came to] ${sales} billion.",
        "[Higher wages|Energy prices|Exchange rates|Interest rates] [played a part|weighed on the "
        "figures|made planning harder].",
        "[Analysts|Banks] are [divided|of two minds] about [the sector|the shares].",
        "[The dividend|The payout] [stays the same|will be set in spring|is under review].",
        "The [sector|industry] has [changed quickly|been under pressure] in [recent years|the past "
        "decade].",
        "[The board|The supervisory board] [meets again|will meet] in {month}.",
        "[Trading|The market] was [calm|nervous] [all day|elsewhere].",
        "[Suppliers|Customers|Competitors] [followed the news closely|had been warned].",
    ),
    highlights=(
        slot(
            "{company} profit {rises} {percent} percent to ${profit} million.",
            "Profit at {company} {rises} {percent} percent to ${profit} million.",
            "{company} [reports|posts] profit of ${profit} million, {up} {percent} percent.",
        ),
        slot(
            "[Company|Firm] [plans to|will|wants to] {plan} {jobs} jobs.",
            "{short} [to|will] {plan} {jobs} jobs.",
        ),
        slot(
            "Chief executive {first} {last} [comments on|presents|explains] the [results|figures].",
            "{first} {last} [leads the firm through|presents] a {mood} year.",
        ),
    ),
)
