"""Whether a base has an embedding for all tokens of the rows that it is to read."""

from __future__ import annotations

from bakeoff.base.model import Base
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import DataError


def check_embedded(base: Base, part: SplitData, where: str) -> None:
    """Holds the tokens of rows against the base's embedding.

    A row's own text is plain text, whatever it spells: such a token is a template's. Rows that were
    prepared before are held as well, as bases of one tokenizer share them, and one may embed less
    of it than another.

    Args:
        base: which is to read them. part: the rows. where: the set that errors name.

    Raises:
        DataError: a row has a token that the base does not embed.
    """
    for rows in (part.tokens, part.prompts):
        if base.unembedded(rows.values) is None:
            continue
        for index, number in enumerate(part.rows):
            if (fault := base.unembedded(rows[index])) is not None:
                raise DataError(f"{where} row {number}: {fault}; take it out of the template")
