"""Large pools of names and the draws over them. All people, places and companies are invented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bakeoff.data.wire.phrasing import Draw


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST: Final = _words(
    "Ada Adam Agnes Alan Alba Alex Alice Amara Amir Ana Andrew Anika Anton Arjun Astrid Aya Ben "
    "Bruno Carla Carlos Cecil Chloe Clara Colin Cora Dalia Daniel Daria David Diana Diego Dora "
    "Edgar Elena Eli Elsa Emil Emma Enzo Erik Esther Eva Felix Fiona Flora Frank Freya Gloria "
    "Grace Greta Hana Hannah Harold Hassan Hazel Helen Henry Hugo Ibrahim Ida Ines Ingrid Irene "
    "Isaac Isla Ivan Jack Jamal James Jana Jean Joan Joel Jonas Jorge Joseph Julia Karim Karl "
    "Kate Keiko Kenji Kofi Lara Laura Leila Lena Leo Liam Lina Louis Lucia Luis Lydia Magnus "
    "Malik Marco Maria Mark Marta Martin Maya Mei Mia Milan Mina Miriam Mona Nadia Naomi Neil "
    "Nina Noah Nora Olga Oliver Omar Oscar Otto Pablo Paul Paula Pedro Peter Petra Philip Priya "
    "Rafael Ravi Rita Robert Rosa Ruben Ruth Sam Samir Sara Sean Selma Simon Sofia Stefan Sven "
    "Tara Theo Thomas Tina Tobias Uma Vera Victor Vikram Wanda Wei Yara Yusuf Zara Zoe"
)
_LAST_STEMS: Final = _words(
    "Ald Bar Beck Bel Bran Cald Carl Cran Dal Den Dray Eld Fair Far Fen Gar Gren Hal Hart Hol "
    "Kel Kir Lang Len Lor Mar Mel Mor Nor Oak Pel Pen Ram Red Ros Sal Sel Stan Thorn Tor Ul Val "
    "Ven Wal War Wes Whit Win Wyn Yar"
)
_LAST_ENDINGS: Final = _words(
    "ani berg bury by cott dale den der don ez field ford gate ham ian ing ini ski kin land ley "
    "low man mere ner o ova sen son ter ton vik ward well wick wood worth"
)
_LAST_WHOLE: Final = _words(
    "Abara Achebe Ahmed Alvarez Banerjee Bauer Becker Brandt Castro Chen Cohen Costa Cruz Diallo "
    "Dubois Duarte Farah Fischer Flores Fontaine Garcia Gupta Haddad Hansen Hoang Hughes Ito "
    "Jansen Kaur Khan Kimura Kovac Kumar Laurent Lindqvist Lopez Martins Mbeki Mendes Moreau "
    "Murphy Nakamura Ndiaye Nguyen Novak Okafor Olsen Ortiz Park Patel Pereira Petrov Popov Reyes "
    "Ricci Rossi Sato Schmidt Silva Singh Suarez Tanaka Torres Tran Vargas Vega Weber Yamada "
    "Yilmaz Zhang"
)
_PLACE_STEMS: Final = _words(
    "Alder Ash Bar Birch Black Brack Bright Broad Cal Carn Clay Cold Cor Crow Dun East Elm Fal "
    "Fern Glen Gold Gran Green Grey Hazel Heath High Holm Iron King Lake Lang Lin Long Mal Maple "
    "Mid Mill Moor Nether New North Oak Old Otter Pen Pine Raven Red Rock Rose Sand Shel Silver "
    "South Stan Stone Swan Thorn Tre Ut Wake West Whit Wil Win Wolf Wood"
)
_PLACE_ENDINGS: Final = _words(
    "beck bourne bridge brook burgh bury by cliff combe cote dale den field ford gate ham haven "
    "head holt hurst ley mere minster mond mouth pool port sea shaw stead stock stow ton vale "
    "view ville wick worth"
)
_REGION_STEMS: Final = _words(
    "Ar Bel Cam Dor Est Fen Gal Hal Ist Jor Kar Lor Mar Nor Or Pal Quen Ros Sar Tal Ul Ver Wes "
    "Yar Zel"
)
_REGION_ENDINGS: Final = _words(
    "andia avia bria dova enia essa istan landia mark mere monia nia onia ora ova via"
)
_COMPANY_STARTS: Final = _words(
    "Ab Al Ar Bel Bri Cal Cor Cy Del Dy Ec El Fin Gal Hel In Kel Lum Max Mer Nex Nor Nov Om Or "
    "Pan Per Qual Quan Sol Syn Tel Ter Tri Uni Val Vel Ver Vis Zen"
)
_COMPANY_ENDS: Final = _words(
    "a anta ara aris axis core dex dia don era fera gen io is ita ium ix line lon mont nova o ora "
    "phy point ra rex sa stra ta tech tera tia tis tra va via wave xo"
)
_COMPANIES: Final = tuple(
    start + end
    for start in _COMPANY_STARTS
    for end in _COMPANY_ENDS
    if not (start[-1] in "aeioy" and end[0] in "aeio") and start[-1] != end[0]
)
_SECTORS: Final = _words(
    "Airlines Bank Chemicals Energy Foods Freight Group Health Holdings Industries Insurance "
    "Logistics Media Mining Motors Networks Paper Partners Pharma Power Retail Robotics Shipping "
    "Software Steel Stores Systems Telecom Textiles Toys"
)
TRANSPORT_SECTORS: Final = _words(
    "Connect Group Holdings Infrastructure Lines Logistics Mobility Roads Transit Transport "
    "Travel Ways"
)
_CLUB_ENDINGS: Final = _words("Albion Athletic City County Rangers Rovers Town United Wanderers")
DAYS: Final = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS: Final = _words(
    "January February March April May June July August September October November December"
)


def first_name(draw: Draw) -> str:
    """A given name."""
    return draw.pick(_FIRST)


def last_name(draw: Draw) -> str:
    """A family name, composed two times in three."""
    if draw.chance(0.35):
        return draw.pick(_LAST_WHOLE)
    return draw.pick(_LAST_STEMS) + draw.pick(_LAST_ENDINGS)


def place(draw: Draw) -> str:
    """A town."""
    return draw.pick(_PLACE_STEMS) + draw.pick(_PLACE_ENDINGS)


def places(draw: Draw) -> tuple[str, str]:
    """Two different towns."""
    one = other = place(draw)
    while other == one:
        other = place(draw)
    return one, other


def region(draw: Draw) -> str:
    """A country or province."""
    return draw.pick(_REGION_STEMS) + draw.pick(_REGION_ENDINGS)


def company(draw: Draw, sectors: Sequence[str] = _SECTORS) -> tuple[str, str]:
    """A company's full name, its sector last, and its short name."""
    short = draw.pick(_COMPANIES)
    return f"{short} {draw.pick(sectors)}", short


def club(draw: Draw, town: str) -> str:
    """A football club's full name, its town first."""
    return f"{town} {draw.pick(_CLUB_ENDINGS)}"


def other_last_name(draw: Draw, taken: str) -> str:
    """A family name other than ``taken``."""
    name = last_name(draw)
    while name == taken:
        name = last_name(draw)
    return name
