"""How likely a result is looked at by where it stands, as the log itself tells it.

A click takes that a result is looked at and that it is relevant: P(click) = p(position) r(result).
Where one and the same thing was shown at several positions its r is the same at each, and how its
clicks are spread says how the positions compare, whatever r is.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hooktune.contract.sessions import Floats, Ints, Mask, Sessions

MAX_POSITIONS: Final = 20

FOLDS: Final = 20
_SCORE_BINS: Final = 100
_MOST_SESSIONS: Final = 50_000
_MOST_GROUPS: Final = 50_000
_FEWEST_CLICKS: Final = 10
_WIDEST: Final = 2.5
_LEAST_STEP: Final = 1e-8
_STEPS: Final = 50
_CONFIDENCE: Final = 0.95


class Examination(BaseModel):
    """How likely the result at a position is looked at, beside the one at the first position."""

    model_config = ConfigDict(frozen=True)

    position: int = Field(ge=1)
    probability: float = Field(gt=0, le=1000, allow_inf_nan=False)
    low: float = Field(ge=0, allow_inf_nan=False)
    """Where its 95 % interval begins."""
    high: float = Field(gt=0, allow_inf_nan=False)
    clicks: int
    """How many clicks tell it."""


class PositionBias(BaseModel):
    """What a log tells of how likely each position is looked at."""

    model_config = ConfigDict(frozen=True)

    source: Literal["items that moved", "scores", "nothing"]
    """What it was estimated from: items that a query showed at several positions, or recorded
    scores that stood at several; or that nothing in the log tells."""
    positions: tuple[Examination, ...] = ()
    """From the first position on, as far as the log tells."""

    @property
    def in_words(self) -> str:
        """Say what it comes from."""
        if self.source == "items that moved":
            return "estimated from items that one query showed at several positions"
        if self.source == "scores":
            return "estimated from recorded scores, those of one size being taken as as relevant"
        return "this log cannot tell: hardly anything with a click stood at several positions"


class _Table(NamedTuple):
    """How often each of G groups of results was shown and clicked at each of K positions."""

    group: Ints
    """For each of N entries, its group, in rising order; entries of a group may stand apart by
    their folds."""
    position: Ints
    """For each of the N entries, its position, from 0."""
    fold: Ints
    """For each of the N entries, to which part of the queries it belongs."""
    shown: Floats
    clicks: Floats

    def without(self, fold: int) -> "_Table":
        """Return the table of all other folds."""
        kept = self.fold != fold
        return _Table(*(column[kept] for column in self))


def position_bias(sessions: Sessions) -> PositionBias:
    """Estimate how likely each position is looked at, beside the first.

    Results are grouped by query and item: where a query showed an item at several positions
    nothing else differs (intervention harvesting: Agarwal, Zaitsev, Wang, Li, Najork & Joachims,
    2019, "Estimating position bias without intrusive interventions"). Where too few of them moved,
    they are grouped by their recorded scores, in 100 bins: results of one score are taken as as
    relevant as each other, which is the model of regression-EM (Wang, Golbandi, Bendersky, Metzler
    & Najork, 2018, "Position bias estimation for unbiased learning to rank in personal search")
    with the score as its one feature.

    Either is fitted by the likelihood of where a group's clicks are, given how many it has, in
    which r drops out (Hausman, Hall & Griliches, 1984, "Econometric models for count data"). All
    pairs of positions that a group was shown at take part. Intervals are those of a jackknife that
    leaves out a twentieth of the queries at a time, as the results of a query are not independent.

    Of more than 50,000 sessions, those of some of the queries are looked at.

    Args:
        sessions: Sessions, of whose results the first 20 positions are looked at.
    """
    apart = -(-len(sessions) // _MOST_SESSIONS)
    if apart > 1:
        sessions = sessions.take(sessions.query_index % apart == 0)
    near = np.flatnonzero(sessions.positions <= MAX_POSITIONS)
    query = sessions.query_index[sessions.session_index[near]].astype(np.int64)
    position = sessions.positions[near] - 1
    clicked = sessions.clicked[near]
    items = query * len(sessions.items) + sessions.item_index[near]
    found = _estimated(items, query, position, clicked)
    if found:
        return PositionBias(source="items that moved", positions=found)
    scores = sessions.rank[near]
    known = np.isfinite(scores)
    if known.any():
        edges = np.unique(np.quantile(scores[known], np.linspace(0, 1, _SCORE_BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, scores[known], side="right").astype(np.int16)
        found = _estimated(bins, query[known], position[known], clicked[known])
        if found:
            return PositionBias(source="scores", positions=found)
    return PositionBias(source="nothing")


def _estimated(group: Ints, query: Ints, position: Ints, clicked: Mask) -> tuple[Examination, ...]:
    """Return the examination of the positions from the first on; none where it cannot be told."""
    # One sort for all that follows, as there are some hundred thousand results.
    order = np.argsort(group, kind="stable")
    group, query = group[order], query[order]
    position, clicked = position[order], clicked[order]
    kept = _telling(group, position, clicked)
    if not kept.any():
        return ()
    whole = _table(group[kept], query[kept], position[kept], clicked[kept])
    told = _connected(whole)
    if told < 2:
        return ()
    estimate = _fit(whole, told, np.zeros(told))
    folds_there = np.unique(whole.fold).tolist()
    left_out = np.array([_fit(whole.without(each), told, estimate) for each in folds_there])
    folds = len(left_out)
    if folds < 2:
        return ()
    deviation = left_out - left_out.mean(axis=0)
    error = np.sqrt((folds - 1) / folds * (deviation**2).sum(axis=0))
    reach = errors_to_a_side(folds) * error
    # Beyond a position of which hardly anything is known all further ones hang in the air.
    is_known = np.isfinite(reach) & (reach < _WIDEST) & np.isfinite(estimate)
    told = int(np.argmin(is_known)) if not is_known.all() else told
    if told < 2:
        return ()
    clicks = np.bincount(whole.position, whole.clicks, minlength=told)
    return tuple(
        Examination(
            position=place + 1,
            probability=float(np.exp(estimate[place])),
            low=float(np.exp(estimate[place] - reach[place])),
            high=float(np.exp(estimate[place] + reach[place])),
            clicks=int(clicks[place]),
        )
        for place in range(told)
    )


def errors_to_a_side(folds: int) -> float:
    """Return how many errors of a jackknife of some folds an interval reaches to each side."""
    # Imported here, as whoever reads what was estimated need not wait for it.
    from scipy.special import stdtrit

    return float(stdtrit(folds - 1, (1 + _CONFIDENCE) / 2))


def _telling(group: Ints, position: Ints, clicked: Mask) -> Mask:
    """Pick the results of groups, which rise, that have a click and stood at several positions."""
    starts = _starts(group)
    moved = np.minimum.reduceat(position, starts) < np.maximum.reduceat(position, starts)
    tells = moved & np.logical_or.reduceat(clicked, starts)
    # Enough of them say as much as all; the first ones are in no order that matters.
    tells &= np.cumsum(tells) <= _MOST_GROUPS
    picked: Mask = tells[_numbered(group)]
    return picked


def _table(group: Ints, query: Ints, position: Ints, clicked: Mask) -> _Table:
    """Return the table of results whose groups rise."""
    is_asked = np.zeros(query.max() + 1, dtype=bool)
    is_asked[query] = True
    fold = (np.cumsum(is_asked) - 1)[query] % FOLDS
    place = _numbered(group)
    keys, entry = np.unique((place * MAX_POSITIONS + position) * FOLDS + fold, return_inverse=True)
    where, fold = np.divmod(keys, FOLDS)
    shown = np.bincount(entry).astype(np.float64)
    place, position = np.divmod(where, MAX_POSITIONS)
    clicks = np.bincount(entry, clicked).astype(np.float64)
    return _Table(place, position, fold, shown, clicks)


def _starts(group: Ints) -> Ints:
    """Return where each group begins, of groups that rise."""
    starts: Ints = np.flatnonzero(np.diff(group, prepend=-1))
    return starts


def _numbered(group: Ints) -> Ints:
    """Return the numbers from 0 of groups that rise."""
    numbers: Ints = np.cumsum(np.diff(group, prepend=-1) != 0) - 1
    return numbers


def _connected(table: _Table) -> int:
    """Return how many positions, from the first on, groups tie together, with enough clicks."""
    clicks = np.bincount(table.position, table.clicks, minlength=MAX_POSITIONS)
    enough = clicks >= _FEWEST_CLICKS
    told = MAX_POSITIONS if enough.all() else int(np.argmin(enough))
    tied = np.zeros((MAX_POSITIONS, MAX_POSITIONS), dtype=bool)
    starts = _starts(table.group)
    first = np.repeat(table.position[starts], np.diff([*starts, len(table.group)]))
    tied[first, table.position] = tied[table.position, first] = True
    while told > 1:
        reached = np.zeros(told, dtype=bool)
        reached[0] = True
        while (more := reached | tied[:told, :told][reached].any(axis=0)).sum() > reached.sum():
            reached = more
        if reached.all():
            break
        told = int(np.argmin(reached))
    return told


def _fit(table: _Table, told: int, start: Floats) -> Floats:
    """Return the logarithms of the first positions' probabilities beside the first one's.

    Newton's method on the conditional likelihood, which is concave. NaN where it has no maximum.
    """
    kept = table.position < told
    group, position = table.group[kept], table.position[kept]
    shown, clicks = table.shown[kept], table.clicks[kept]
    if not len(group):
        return np.full(told, np.nan)
    starts, place = _starts(group), _numbered(group)
    total = np.add.reduceat(clicks, starts)
    logs = start.copy()
    for _ in range(_STEPS):
        weight = shown * np.exp(logs[position])
        share = weight / np.add.reduceat(weight, starts)[place]
        expected = total[place] * share
        gradient = np.bincount(position, clicks - expected, minlength=told)
        shares = np.bincount(place * told + position, share, minlength=len(starts) * told)
        shares = shares.reshape(-1, told)
        curvature: Floats = np.diag(np.bincount(position, expected, minlength=told))
        curvature -= (shares * total[:, None]).T @ shares
        try:
            step = np.linalg.solve(curvature[1:, 1:], gradient[1:])
        except np.linalg.LinAlgError:
            return np.full(told, np.nan)
        if not np.isfinite(step).all():
            return np.full(told, np.nan)
        logs[1:] += np.clip(step, -2, 2)
        if np.abs(step).max() < _LEAST_STEP:
            return logs
    return np.full(told, np.nan)
