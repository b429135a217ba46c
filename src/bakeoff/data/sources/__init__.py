"""Where a task's rows come from: wire, local files, or a data set of the Hugging Face Hub."""

from bakeoff.data.sources.contract import ALIASES, BY_HASH, GROUP, UNREAD, WIRE, Source
from bakeoff.data.sources.finding import is_there, named_files, renamed
from bakeoff.data.sources.hashing import SplitKey, content_of, split_by_hash
from bakeoff.data.sources.opening import open_source, open_test_source
from bakeoff.data.sources.paths import STDIN, in_natural_order
from bakeoff.data.sources.tables import digests_of, is_whole, notes_of
from bakeoff.data.sources.wire_source import WIRE_EXAMPLES

__all__ = [
    "ALIASES",
    "BY_HASH",
    "GROUP",
    "STDIN",
    "UNREAD",
    "WIRE",
    "WIRE_EXAMPLES",
    "Source",
    "SplitKey",
    "content_of",
    "digests_of",
    "in_natural_order",
    "is_there",
    "is_whole",
    "named_files",
    "notes_of",
    "open_source",
    "open_test_source",
    "renamed",
    "split_by_hash",
]
