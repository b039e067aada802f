"""Some sessions of a log as columns, made from the long form and into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.event_weight import EventWeight
from hooktune.contract.long_form import LogPart
from hooktune.contract.sessions import Floats, Ints, Mask
from hooktune.data.log_schema import Session
from hooktune.errors import DataError


@dataclass(frozen=True, eq=False)
class SessionBlock:
    """Some sessions as a log states them: S sessions that show R results and have E events."""

    session_ids: pa.StringArray
    queries: pa.StringArray
    object_ids: pa.StringArray
    """The distinct names of the shown items and of those with events."""
    lengths: Ints
    """For each of the S sessions, how many results it shows."""
    shown: Ints
    """For each of the R results, the place of its item in `object_ids`."""
    positions: Ints
    """For each of the R results, the position at which it was shown, from 1."""
    rank: Floats
    """For each of the R results, its recorded score; NaN where there is none."""
    event_counts: Ints
    """For each of the S sessions, how many events it has."""
    event_on: Ints
    """For each of the E events, the place of its item in `object_ids`."""
    kinds: pa.StringArray
    """The distinct kinds of event."""
    event_kind: Ints
    """For each of the E events, the place of its kind in `kinds`."""
    event_value: Floats | None = None
    """For each of the E events, its value, NaN where there is none; None where no event has one."""
    times: Ints | None = None
    """For each of the S sessions, when it was, in microseconds since 1970, -1 where that is not
    stated; None where it is stated of none."""
    users: pa.StringArray | None = None
    """For each of the S sessions, its user, null where there is none; None where none is stated."""
    labels: pa.StringArray | None = None
    """For each of the S sessions, its labels as the long form has them; as for `users`."""

    @cached_property
    def _first_showings(self) -> tuple[Ints, Ints]:
        """Sorted keys of all pairs of a session and an item it shows, and their first results."""
        return np.unique(self._keys(self.lengths, self.shown), return_index=True)

    def _keys(self, counts: Ints, items: Ints) -> Ints:
        session = np.repeat(np.arange(len(counts)), counts)
        return session * len(self.object_ids) + items

    @property
    def is_first(self) -> Mask:
        """For each of the R results, whether its session shows its item there first."""
        first = np.zeros(len(self.shown), dtype=bool)
        first[self._first_showings[1]] = True
        return first

    @cached_property
    def event_results(self) -> Ints:
        """For each of the E events, the result it is on; -1 where its session shows none such."""
        keys, results = self._first_showings
        if not len(keys):
            return np.full(len(self.event_on), -1)
        wanted = self._keys(self.event_counts, self.event_on)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, results[place], -1)

    def event_rules(self, counted: Sequence[EventWeight]) -> Ints:
        """For each of the E events, the first of what counts that it fits; -1 where none does."""
        kinds = self.kinds.to_pylist()
        rules = np.full(len(self.event_kind), -1)
        for place, each in enumerate(counted):
            if each.kind in kinds:
                fits = (rules < 0) & (self.event_kind == kinds.index(each.kind))
                if each.at_least is not None:
                    fits &= self.event_value is not None and self.event_value >= each.at_least
                rules[fits] = place
        return rules


def block_of(sessions: Sequence[Session]) -> SessionBlock:
    """Return sessions as columns."""
    results = [result for session in sessions for result in session.search_results]
    events = [event for session in sessions for event in session.events]
    return block_of_columns(
        pa.array([session.session_id for session in sessions], pa.string()),
        pa.array([session.search_query for session in sessions], pa.string()),
        np.array([len(session.search_results) for session in sessions], dtype=np.int64),
        pa.array([result.object_id for result in results], pa.string()),
        pa.array([result.rank for result in results], pa.float64()),
        np.array([len(session.events) for session in sessions], dtype=np.int64),
        pa.array([event.object_id for event in events], pa.string()),
        pa.array([event.event_type for event in events], pa.string()),
        pa.array([session.created_at for session in sessions], pa.int64()),
        pa.array([session.user_id for session in sessions], pa.string()),
    )


def block_of_columns(
    session_ids: pa.StringArray,
    queries: pa.StringArray,
    lengths: Ints,
    shown: pa.StringArray,
    rank: pa.DoubleArray,
    event_counts: Ints,
    event_on: pa.StringArray,
    event_kind: pa.StringArray,
    times: pa.Int64Array,
    users: pa.StringArray,
) -> SessionBlock:
    """Return sessions that are columns already, with each name of an item or a kind held once.

    Args:
        session_ids: For each of the S sessions, its id.
        queries: For each of the S sessions, its query.
        lengths: For each of the S sessions, how many results it shows.
        shown: For each of the R results, the name of its item.
        rank: For each of the R results, its recorded score; null where there is none.
        event_counts: For each of the S sessions, how many events it has.
        event_on: For each of the E events, the name of its item.
        event_kind: For each of the E events, its kind.
        times: For each of the S sessions, when it was, in microseconds since 1970, or null.
        users: For each of the S sessions, its user, or null.
    """
    kinds = event_kind.dictionary_encode()
    names = pa.concat_arrays([shown, event_on]).dictionary_encode()
    places = names.indices.to_numpy()
    return SessionBlock(
        session_ids,
        queries,
        names.dictionary,
        lengths,
        places[: len(shown)],
        np.arange(1, len(shown) + 1) - np.repeat(np.cumsum(lengths) - lengths, lengths),
        rank.to_numpy(zero_copy_only=False).astype(np.float32),
        event_counts,
        places[len(shown) :],
        kinds.dictionary,
        kinds.indices.to_numpy(),
        times=None if times.null_count == len(times) else times.fill_null(-1).to_numpy(),
        users=None if users.null_count == len(users) else users,
    )


def part_of(block: SessionBlock, file: str) -> LogPart:
    """Return sessions in the long form; one that shows nothing as a row without an item.

    Args:
        block: The sessions.
        file: The file that they are from.
    """
    lengths = np.maximum(block.lengths, 1)
    session = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    has_item = (block.lengths > 0)[session]
    all_have_one = bool(has_item.all())

    def per_row(values: Ints | Floats, kind: pa.DataType) -> pa.Array:
        if all_have_one:
            return pa.array(values, kind)
        rows = np.zeros(len(session), dtype=values.dtype)
        rows[has_item] = values
        return pa.array(rows, kind, mask=~has_item)

    def named(places: pa.Array | Ints, names: pa.StringArray) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), names)

    event_session = np.repeat(np.arange(len(lengths)), block.event_counts)
    rank = pa.array(block.rank, pa.float64(), mask=np.isnan(block.rank))
    shown = {
        "search_id": named(session, block.session_ids),
        "query": named(session, block.queries),
        "item": named(per_row(block.shown, pa.int32()), block.object_ids),
        "position": per_row(block.positions, pa.int64()),
        "rank": rank if all_have_one else per_row(block.rank, pa.float64()),
    }
    if block.times is not None:
        times = block.times[session]
        shown["time"] = pa.array(times, pa.timestamp("us", "UTC"), mask=times < 0)
    if block.users is not None:
        shown["user"] = block.users.dictionary_encode().take(pa.array(session))
    if block.labels is not None:
        shown["labels"] = block.labels.dictionary_encode().take(pa.array(session))
    happened = {
        "search_id": named(event_session, block.session_ids),
        "item": named(block.event_on, block.object_ids),
        "kind": named(block.event_kind, block.kinds),
    }
    return LogPart.of(file, shown, happened, is_whole=True)


def block_of_part(part: LogPart) -> SessionBlock:
    """Return the sessions of a part that is whole.

    Raises:
        DataError: It is not: the rows of a session do not stand together, or an event is on
            something else.
    """
    ids = _dictionary(part.shown["search_id"])
    session = _places(ids)
    queries = part.shown["query"].combine_chunks()
    is_first = np.diff(session, prepend=-1) > 0
    if (
        not np.array_equal(session, np.cumsum(is_first) - 1)
        or len(ids.dictionary) != is_first.sum()
    ):
        raise _not_whole(part, "the rows of a search do not stand together")
    items = _dictionary(part.shown["item"])
    happened = part.happened
    event_session = pc.index_in(happened["search_id"].cast(pa.string()), ids.dictionary)
    event_items, kinds = _dictionary(happened["item"]), _dictionary(happened["kind"])
    if event_session.null_count or event_items.null_count or kinds.null_count:
        raise _not_whole(part, "an event lacks its search, its item or its kind")
    names, on = _in_names(items.dictionary, event_items)
    of_session = event_session.combine_chunks().to_numpy()
    order = np.argsort(of_session, kind="stable")
    # Without a copy where all rows have an item, as nearly all have in nearly all logs.
    has_item = items.is_valid().to_numpy(zero_copy_only=False) if items.null_count else slice(None)
    rank = part.shown["rank"].to_numpy().astype(np.float32)
    first_rows = pa.array(np.flatnonzero(is_first))
    return SessionBlock(
        ids.dictionary.cast(pa.string()),
        queries.take(first_rows).cast(pa.string()),
        names,
        np.bincount(session[has_item], minlength=len(ids.dictionary)),
        _places(items)[has_item],
        part.shown["position"].to_numpy()[has_item].astype(np.int64, copy=False),
        rank[has_item],
        np.bincount(of_session, minlength=len(ids.dictionary)),
        on[order],
        kinds.dictionary,
        _places(kinds)[order],
        _values(happened["value"], order),
        _times(part.shown["time"], first_rows),
        _texts(part.shown["user"], first_rows),
        _texts(part.shown["labels"], first_rows),
    )


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()


def _places(array: pa.DictionaryArray) -> Ints:
    places: Ints = array.indices.fill_null(-1).to_numpy().astype(np.int64)
    return places


def _values(column: pa.ChunkedArray, order: Ints) -> Floats | None:
    if column.null_count == len(column):
        return None
    values: Floats = column.to_numpy()[order]
    return values


def _times(column: pa.ChunkedArray, first_rows: pa.Array) -> Ints | None:
    if column.null_count == len(column):
        return None
    times: Ints = column.take(first_rows).cast(pa.int64()).fill_null(-1).to_numpy()
    return times


def _texts(column: pa.ChunkedArray, first_rows: pa.Array) -> pa.StringArray | None:
    if column.null_count == len(column):
        return None
    return column.take(first_rows).cast(pa.string()).combine_chunks()


def _in_names(names: pa.StringArray, other: pa.DictionaryArray) -> tuple[pa.StringArray, Ints]:
    """Return names with those of another array added, and the other array's places in them."""
    if other.dictionary.equals(names):
        return names, _places(other)
    found = pc.index_in(other.dictionary, value_set=names)
    new = other.dictionary.filter(found.is_null())
    joined = pa.concat_arrays([names, new])
    places = pc.index_in(other.dictionary, value_set=joined).to_numpy(zero_copy_only=False)
    return joined, places[_places(other)].astype(np.int64)


def _not_whole(part: LogPart, why: str) -> DataError:
    return DataError(
        f"{part.file}: its reader says that each part holds whole searches, and {why}. "
        "Let it say is_whole=False."
    )
