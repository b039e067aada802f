"""In what two batches differ: queries, items, positions and rates of clicks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from hooktune.contract.query_text import normal_forms
from hooktune.contract.sessions import Batch
from hooktune.data.labels import value_counts
from hooktune.data.release import open_batch
from hooktune.data.summary import differences, shifts, summary_of, z_of_rates

_MOST_TOLD: Final = 10
_LEAST_Z: Final = 3.0


class Shared(BaseModel):
    """How much of something two batches share."""

    model_config = ConfigDict(frozen=True)

    only_first: int
    both: int
    only_second: int
    changed: int | None = None
    """How many of what both have is another one in the second; None where it cannot be."""


class RateShift(BaseModel):
    """A rate in two batches."""

    model_config = ConfigDict(frozen=True)

    of: str
    first: float
    second: float
    z: float
    """Of the difference: beyond 3 or so it is hardly chance."""


class BatchDifference(BaseModel):
    """In what a second batch differs from a first."""

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    sessions: tuple[int, int]
    results_per_session: tuple[float, float]
    queries: Shared
    """Queries that differ in case, blanks or signs count as one."""
    items: Shared
    new_query_share: float
    """The share of the second batch's sessions whose query the first one lacks."""
    sessions_with_click: RateShift
    positions: tuple[RateShift, ...]
    """The share of results that are clicked, at the first positions."""
    query_shares: tuple[RateShift, ...]
    """The queries whose share of the sessions shifted most, where that is hardly chance."""
    label_shares: tuple[RateShift, ...]
    """The values of labels, such as markets, whose share of the sessions shifted most, likewise;
    of labels that both batches have."""
    looks_different: tuple[str, ...]
    """In what the second does not look like the first, which is also warned of before a run."""

    @property
    def in_words(self) -> tuple[str, ...]:
        """Return it as lines of text."""
        queries, items = self.queries, self.items
        lines = [
            f"sessions             {self.sessions[0]} -> {self.sessions[1]}",
            f"results a session    {self.results_per_session[0]:.1f} -> "
            f"{self.results_per_session[1]:.1f}",
            f"queries              {queries.both} in both, {queries.only_first} gone, "
            f"{queries.only_second} new, with {self.new_query_share:.1%} of the sessions",
            f"items                {items.both} in both, {items.only_first} gone, "
            f"{items.only_second} new, {items.changed} with another text",
            f"sessions with click  {_arrow(self.sessions_with_click)}",
            "results clicked at position",
            *(f"  {shift.of:>4}  {_arrow(shift)}" for shift in self.positions),
        ]
        for what, found in (("queries", self.query_shares), ("labels", self.label_shares)):
            if found:
                lines.append(f"{what} whose share of the sessions shifted most")
                lines += [f"  {_arrow(shift)}  {shift.of}" for shift in found]
        lines += [f"! {what}" for what in self.looks_different]
        return tuple(lines)


def _arrow(shift: RateShift) -> str:
    return f"{shift.first:.2%} -> {shift.second:.2%} (z {shift.z:+.1f})"


def compare_batches(first: str | Path, second: str | Path) -> BatchDifference:
    """Say in what a batch differs from an earlier one.

    Args:
        first: The folder of the earlier batch.
        second: The folder of the later one.

    Raises:
        DataError: One of them is no batch.
    """
    batches = open_batch(first), open_batch(second)
    summaries = [summary_of(batch) for batch in batches]
    before, after = summaries
    forms = [normal_forms(batch.sessions.queries) for batch in batches]
    names = pa.concat_arrays(forms).unique()
    frequencies = [
        _frequencies(batch, form, names) for batch, form in zip(batches, forms, strict=True)
    ]
    clicks = (before.not_irrelevant, before.sessions, after.not_irrelevant, after.sessions)
    is_new = frequencies[0] == 0
    return BatchDifference(
        first=before.batch_id,
        second=after.batch_id,
        sessions=(before.sessions, after.sessions),
        results_per_session=(before.results / before.sessions, after.results / after.sessions),
        queries=_shared(*(frequency > 0 for frequency in frequencies)),
        items=_shared_items(batches),
        new_query_share=float(frequencies[1][is_new].sum() / frequencies[1].sum()),
        sessions_with_click=_shift("sessions", *clicks),
        positions=tuple(
            RateShift(of=str(position), first=rate, second=later, z=z)
            for position, rate, later, z in shifts(before, after)
        ),
        query_shares=_query_shares(names, frequencies),
        label_shares=_label_shares(batches),
        looks_different=differences(before, after),
    )


def _frequencies(
    batch: Batch, forms: pa.LargeStringArray, names: pa.LargeStringArray
) -> npt.NDArray[np.int64]:
    """Return how many sessions each query has, by its form."""
    place = pc.index_in(forms, value_set=names).to_numpy()
    return np.bincount(place[batch.sessions.query_index], minlength=len(names))


def _shared(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Shared:
    return Shared(
        only_first=int((first & ~second).sum()),
        both=int((first & second).sum()),
        only_second=int((second & ~first).sum()),
    )


def _shared_items(batches: Sequence[Batch]) -> Shared:
    first, second = batches
    place = pc.index_in(second.object_ids, value_set=first.object_ids)
    is_known = place.is_valid()
    before = first.sessions.items.take(place.drop_null())
    changed = pc.sum(pc.not_equal(before, second.sessions.items.filter(is_known)), min_count=0)
    both = len(second.object_ids) - place.null_count
    return Shared(
        only_first=len(first.object_ids) - both,
        both=both,
        only_second=place.null_count,
        changed=int(changed.as_py()),
    )


def _query_shares(
    names: pa.LargeStringArray, frequencies: Sequence[npt.NDArray[np.int64]]
) -> tuple[RateShift, ...]:
    first, second = (frequency / frequency.sum() for frequency in frequencies)
    most = np.argsort(-np.abs(second - first), kind="stable")[: 4 * _MOST_TOLD]
    sizes = [int(frequency.sum()) for frequency in frequencies]
    found = [
        _shift(
            names[place].as_py(),
            int(frequencies[0][place]), sizes[0], int(frequencies[1][place]), sizes[1],
        )
        for place in most.tolist()
    ]  # fmt: skip
    return _told(found)


def _label_shares(batches: Sequence[Batch]) -> tuple[RateShift, ...]:
    first, second = (batch.sessions.labels for batch in batches)
    if first is None or second is None:
        return ()
    found = []
    for name in first.schema.names:
        if name in second.schema.names:
            before, after = value_counts(first[name]), value_counts(second[name])
            found += [
                _shift(f"{name} is {value}", before.get(value, 0), len(first),
                       after.get(value, 0), len(second))
                for value in before | after
            ]  # fmt: skip
    found.sort(key=lambda shift: -abs(shift.second - shift.first))
    return _told(found)


def _told(found: Sequence[RateShift]) -> tuple[RateShift, ...]:
    """Pick the first of some shifts that are hardly chance."""
    return tuple([shift for shift in found if abs(shift.z) > _LEAST_Z][:_MOST_TOLD])


def _shift(of: str, some: int, out_of: int, others: int, out_of_others: int) -> RateShift:
    z = z_of_rates(some, out_of, others, out_of_others)
    return RateShift(of=of, first=some / out_of, second=others / out_of_others, z=z)
