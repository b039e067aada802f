"""What the parts of a split do not share, by name."""

from typing import Final, Literal

SplitKind = Literal["text", "query", "time", "query-and-time", "user"]
"""What the parts of a split do not share; see `parts_of_sessions`."""

SPLIT_OF_NEW: Final[SplitKind] = "query"
"""How a new iteration splits without being asked; one that recorded nothing splits by `text`."""
