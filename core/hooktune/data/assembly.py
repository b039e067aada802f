"""The columns that the sessions and items of a log grow into while it is read."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.event_weight import EventWeight
from hooktune.contract.images import are_images
from hooktune.contract.sessions import Ints, Mask, Sessions
from hooktune.data.canonical import in_canonical_order
from hooktune.data.labels import LabelTexts
from hooktune.data.log_schema import CLICK, Item
from hooktune.data.manifest import Catalogue, EventCount, Keepable
from hooktune.data.parquet import append_numbers, joined_texts
from hooktune.data.session_block import SessionBlock
from hooktune.data.shown_items import ShownItems
from hooktune.errors import DataError

SESSION_WITH_LOST_CLICK: Final = "session with a click on an item that the items file lacks"
SESSION_WITHOUT_IMAGE: Final = "session whose query is an image that cannot be used"
SESSION_WITHOUT_RESULT: Final = "session without any result whose item is known"
RESULT_WITHOUT_ITEM: Final = "result whose item the items file lacks"
REPEATED_RESULT: Final = "result repeated within its session"

KindAndRule = tuple[str, int]
"""A kind of event, and the place in what counts that it fits; -1 where it does not count."""

_ITEMS_AT_ONCE: Final = 32_768
_CHARACTERS_AT_ONCE: Final = 1 << 26
MOST_OF_IMAGES: Final = 1_500_000_000
"""How many characters all images of a batch take at most, which are all held in memory."""
# A log may name every event anew, or hold a page of text in the place of a name.
_KINDS_TOLD: Final = 50
_KIND_LENGTH: Final = 100


def describe_set_aside(set_aside: dict[str, int]) -> str:
    """Say in words how much of a log was set aside, and why."""
    return ", ".join(f"{count} x {reason}" for reason, count in set_aside.items())


@dataclass
class Leftovers:
    """Takes how much of a log no session holds."""

    sessions: Counter[str] = field(default_factory=Counter)
    """Sessions, by why they were set aside."""
    events: "Counter[KindAndRule]" = field(default_factory=Counter)
    """Events, by their kinds and by what of the counted they are."""


@dataclass
class LogColumns:
    """Takes in all sessions of a log, then its items, and gives what of it can be released.

    Numbers grow in arrays and texts in Arrow's blocks, so that no Python object is kept for any
    session, result or item.
    """

    session_ids: list[pa.StringArray] = field(default_factory=list)
    queries: list[pa.StringArray] = field(default_factory=list)
    """The queries of all sessions; null where one is an image that cannot be used."""
    shown: ShownItems = field(default_factory=ShownItems)
    """Takes the items of all results."""
    texts: list[pa.LargeStringArray] = field(default_factory=list)
    """The texts of the shown items that are known."""
    text_items: "array[int]" = field(default_factory=lambda: array("i"))
    """For each text, the place of its item in `shown.names`."""
    lengths: "array[int]" = field(default_factory=lambda: array("i"))
    repeated: "array[int]" = field(default_factory=lambda: array("i"))
    positions: "array[int]" = field(default_factory=lambda: array("i"))
    clicks: "array[int]" = field(default_factory=lambda: array("i"))
    rank: "array[float]" = field(default_factory=lambda: array("f"))
    weights: "array[float]" = field(default_factory=lambda: array("f"))
    """For each result, the greatest weight of an event on it; empty where all count alike."""
    times: "array[int]" = field(default_factory=lambda: array("q"))
    """For each session, when it was; -1 where that is not known, or not to be kept."""
    users: "array[int]" = field(default_factory=lambda: array("q"))
    """For each session, a number that stands for its user; as for `times`."""
    catalogue: Catalogue = "shown"
    """Which items are kept."""
    keep: Collection[Keepable] = ()
    """What of a session is kept beside its results."""
    labels: LabelTexts = field(default_factory=LabelTexts)
    """Takes the labels of all sessions."""
    counted: Sequence[EventWeight] = (EventWeight(CLICK),)
    """Which events count, the weightiest first."""
    events: "Counter[KindAndRule]" = field(default_factory=Counter)
    """How many events of each kind there are, clicks and others."""
    min_results: int = 1
    """How many results whose items are known a session has at least."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many sessions were set aside already, by why."""
    of_images: int = 0
    """How many characters the images take, those of queries once for each session."""

    def add_block(self, block: SessionBlock) -> None:
        """Append sessions; of a result that one of them repeats, only the first is taken."""
        first = block.is_first
        rules = block.event_rules(self.counted)
        self._count_events(block, rules)
        clicked = block.event_results[rules >= 0]
        clicks = np.bincount(clicked, minlength=len(first))
        if self.is_weighted:
            worth = np.array([each.weight for each in self.counted], dtype=np.float32)
            weights = np.zeros(len(first), dtype=np.float32)
            np.maximum.at(weights, clicked, worth[rules[rules >= 0]])
            append_numbers(self.weights, weights[first])
        session = np.repeat(np.arange(len(block.lengths)), block.lengths)
        lengths = np.bincount(session[first], minlength=len(block.lengths))
        for name, known, column in (
            ("times", block.times, self.times),
            ("users", user_numbers(block.users), self.users),
        ):
            if name in self.keep:
                nothing = np.full(len(block.lengths), -1)
                append_numbers(column, nothing if known is None else known)
        self.labels.add(block.labels, len(block.lengths))
        self.session_ids.append(block.session_ids)
        self.queries.append(block.queries)
        self._refuse_too_many_images(block.queries)
        append_numbers(self.lengths, lengths)
        append_numbers(self.repeated, block.lengths - lengths)
        self.shown.add(block.shown[first], block.object_ids)
        append_numbers(self.positions, block.positions[first])
        append_numbers(self.clicks, clicks[first])
        append_numbers(self.rank, block.rank[first])

    @property
    def is_weighted(self) -> bool:
        """Whether some events are worth more than others."""
        return any(each.weight != 1 for each in self.counted)

    def _count_events(self, block: SessionBlock, rules: Ints) -> None:
        kinds = block.kinds.to_pylist()
        width = len(self.counted) + 1
        numbers = np.bincount(block.event_kind * width + rules + 1, minlength=len(kinds) * width)
        for place in np.flatnonzero(numbers).tolist():
            kind, rule = divmod(place, width)
            self.events[kinds[kind], rule - 1] += int(numbers[place])

    def add_items(self, items: Iterable[Item]) -> None:
        """Keep the texts of the items that a session shows, each item being given once."""
        for some_names, some_texts in _batched(items):
            names = pa.array(some_names, pa.large_string())
            places = (
                pa.array(self.shown.places(names))
                if self.catalogue == "all"
                else pc.index_in(names, value_set=self.shown.names)
            )
            kept = pa.array(some_texts, pa.large_string()).filter(places.is_valid())
            self.texts.append(kept)
            self._refuse_too_many_images(kept)
            append_numbers(self.text_items, places.drop_null().to_numpy())

    def is_wanted(self) -> Callable[[str], bool]:
        """Return what tells by its name whether an item is going to be kept."""
        if self.catalogue == "all":
            return lambda _object_id: True
        return set(self.shown.names.to_pylist()).__contains__

    def _refuse_too_many_images(self, texts: pa.LargeStringArray) -> None:
        images = texts.filter(pa.array(are_images(texts)))
        self.of_images += int(pc.sum(pc.binary_length(images), min_count=0).as_py())
        if self.of_images > MOST_OF_IMAGES:
            raise DataError(
                f"The images of the batch take more than {MOST_OF_IMAGES:,} characters in base64, "
                "and all are held in memory. Scale them down, to 512 pixels a side perhaps, or "
                "release fewer sessions."
            )

    def add_leftovers(self, leftovers: Leftovers) -> None:
        """Count what of the log no block holds."""
        self.events.update(leftovers.events)
        self.left_out.update(leftovers.sessions)

    def event_counts(self) -> tuple[EventCount, ...]:
        """Return how many events of each kind there are: clicks first, then the most frequent."""
        counts = []
        for (kind, rule), count in self.events.items():
            by = self.counted[rule] if rule >= 0 else None
            counts.append(
                EventCount(
                    kind=kind[:_KIND_LENGTH],
                    count=count,
                    is_click=by is not None,
                    weight=by.weight if by and self.is_weighted else None,
                    at_least=by.at_least if by else None,
                )
            )
        counts.sort(key=lambda event: (not event.is_click, -event.count, event.kind))
        if len(counts) > _KINDS_TOLD:
            others = sum(event.count for event in counts[_KINDS_TOLD:])
            rest = f"({len(counts) - _KINDS_TOLD} other kinds)"
            counts[_KINDS_TOLD:] = [EventCount(kind=rest, count=others, is_click=False)]
        return tuple(counts)

    def usable_sessions(self) -> tuple[Sessions, pa.LargeStringArray, dict[str, int]]:
        """Return what can be released, in an order that the log's own order has no part in.

        A result whose item is unknown is dropped. A session that would lose a click with it is set
        aside whole, for it would pass for one with less, or nothing, found relevant.

        Sessions are sorted by id, queries stand in the order of their first use, and items, of
        which only the used ones are kept, are sorted by their names.

        Returns:
            The sessions, the names of their items, and how much was set aside by reason.
        """
        self._refuse_what_is_never_stated()
        sessions = self._sessions()
        is_known = np.zeros(len(self.shown.names), dtype=bool)
        is_known[np.asarray(self.text_items)] = True
        known = is_known[sessions.item_index]
        unknown_results = sessions.sum_per_session(~known)
        lost_click = sessions.sum_per_session(sessions.clicked & ~known) > 0
        empty = (unknown_results == sessions.lengths) & ~lost_click
        few = (sessions.lengths - unknown_results < self.min_results) & ~lost_click & ~empty
        blind = ~sessions.queries.is_valid().to_numpy(zero_copy_only=False)
        blind &= ~lost_click & ~empty & ~few
        kept = ~lost_click & ~empty & ~few & ~blind
        set_aside = {
            **self.left_out,
            SESSION_WITH_LOST_CLICK: int(lost_click.sum()),
            SESSION_WITHOUT_RESULT: int(empty.sum()),
            SESSION_WITHOUT_IMAGE: int(blind.sum()),
            f"session with less than {self.min_results} results": int(few.sum()),
            RESULT_WITHOUT_ITEM: int(unknown_results[kept].sum()),
            REPEATED_RESULT: int(np.asarray(self.repeated)[kept].sum()),
        }
        if not known.all():
            sessions = sessions.keep_results(known)
        ordered, object_ids = self._in_canonical_order(sessions, kept)
        return ordered, object_ids, {reason: count for reason, count in set_aside.items() if count}

    def _refuse_what_is_never_stated(self) -> None:
        for name, column in (("times", self.times), ("users", self.users)):
            if name in self.keep and not (np.asarray(column) >= 0).any():
                raise DataError(
                    f"The log states no {name}, or its reader does not read them, so that none can "
                    f"be kept. Leave out --keep {name}."
                )

    def _sessions(self) -> Sessions:
        """Return all sessions, each with a query of its own and with names in place of texts."""
        return Sessions(
            queries=_joined(self.queries),
            items=self.shown.names,
            session_ids=_joined(self.session_ids),
            query_index=np.arange(len(self.lengths)),
            offsets=np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]),
            item_index=self.shown.index,
            clicks=np.asarray(self.clicks),
            rank=np.asarray(self.rank),
            shown_at=np.asarray(self.positions),
            weights=np.asarray(self.weights) if self.is_weighted else None,
            times=np.asarray(self.times) if "times" in self.keep else None,
            users=np.asarray(self.users) if "users" in self.keep else None,
            labels=self.labels.columns(),
        )

    def _in_canonical_order(
        self, sessions: Sessions, kept: Mask
    ) -> tuple[Sessions, pa.LargeStringArray]:
        every_item = np.asarray(self.text_items) if self.catalogue == "all" else ()
        ordered, used = in_canonical_order(sessions, self.shown.names, kept, every_item)
        text_place = np.zeros(len(self.shown.names), dtype=np.int64)
        text_place[np.asarray(self.text_items)] = np.arange(len(self.text_items))
        texts = joined_texts(self.texts).take(pa.array(text_place[used]))
        return replace(ordered, items=texts), self.shown.names.take(pa.array(used))


def _joined(blocks: list[pa.StringArray]) -> pa.LargeStringArray:
    """Join blocks of texts to one array, and hold them no second time."""
    joined = joined_texts(blocks)
    blocks.clear()
    return joined


def user_numbers(users: pa.StringArray | None) -> Ints | None:
    """Return numbers that stand for users, the same in every batch, so that no name is kept.

    They are hashes: who knows a user's name can find the user's sessions, and nobody else.
    """
    if users is None:
        return None
    distinct = users.dictionary_encode()
    numbers = [
        int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1
        for name in distinct.dictionary.to_pylist()
    ]
    places = distinct.indices.fill_null(len(numbers)).to_numpy()
    known: Ints = np.array([*numbers, -1], dtype=np.int64)[places]
    return known


def _batched(items: Iterable[Item]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the names and the texts of items, many at a time."""
    names: list[str] = []
    texts: list[str] = []
    characters = 0
    for item in items:
        names.append(item.object_id)
        texts.append(item.text)
        characters += len(item.text)
        if len(names) == _ITEMS_AT_ONCE or characters > _CHARACTERS_AT_ONCE:
            yield names, texts
            names, texts, characters = [], [], 0
    if names:
        yield names, texts
