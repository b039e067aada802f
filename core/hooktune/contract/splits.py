"""Which sessions of a batch are trained on, which tested with, and what of the one the other knows.

A unit, such as a query or a user, is never in two parts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.query_text import word_forms
from hooktune.contract.sessions import Ints, Mask, Sessions
from hooktune.contract.split_kind import SplitKind
from hooktune.errors import DataError

TRAIN, TEST, HOLDOUT = range(3)
"""The parts into which `parts_of_sessions` divides."""
NEITHER: Final = -1
"""The part of sessions that are in none of them."""


def held_out_sessions(sessions: Sessions, test_ratio: float, seed: int) -> Mask:
    """Choose the test sessions: no query of theirs is in the training sessions.

    Args:
        sessions: The sessions of a batch.
        test_ratio: The share of the distinct queries that goes to the test part, between 0 and 1.
        seed: The seed of the shuffle.

    Returns:
        For each session, whether it is held out for testing.

    Raises:
        DataError: Fewer than two queries have a click, so that one of the parts would have none.
    """
    held_out: Mask = parts_of_sessions(sessions, test_ratio, 0.0, seed) == TEST
    return held_out


def parts_of_sessions(
    sessions: Sessions,
    test_ratio: float,
    holdout_ratio: float,
    seed: int,
    kind: SplitKind = "text",
) -> Ints:
    """Divide sessions into training, test and holdout.

    - `text`: no two parts share a query, by its exact text.
    - `query`: nor do they share queries that differ in case, accents, blanks or the order of words
      alone.
    - `user`: no two parts share a user; one that is not known has one session.
    - `time`: training is before test, and test before the holdout; the ratios are shares of the
      sessions.
    - `query-and-time`: as `query`, and in training are only sessions from before a moment, in test
      and holdout only later ones: as many are later as the ratios say. The others are in no part.

    Units with a click and units without one are divided each for themselves, so that training
    and test hold both kinds. That depends on the units' texts, the ratios and the seed alone, and
    the test part not on the holdout.

    Args:
        sessions: The sessions of a batch.
        test_ratio: The share that goes to the test part, between 0 and 1.
        holdout_ratio: The share that goes to the holdout; training keeps one unit of each kind.
        seed: The seed of the shuffle.
        kind: What the parts do not share.

    Returns:
        For each session, `TRAIN`, `TEST` or `HOLDOUT`, or `NEITHER`.

    Raises:
        DataError: Training or test would have no session with a click, or the batch does not hold
            the times or users.
    """
    if kind == "time":
        parts = _later(sessions, test_ratio, holdout_ratio)
    elif kind == "user":
        parts = _parts_of_units(
            sessions, *_users(sessions), "user", (test_ratio, holdout_ratio), seed
        )
    else:
        units = _queries(sessions, by_words=kind != "text")
        parts = _parts_of_units(sessions, *units, "query", (test_ratio, holdout_ratio), seed)
        if kind == "query-and-time":
            is_late = _later(sessions, test_ratio, holdout_ratio) != TRAIN
            parts = np.where((parts == TRAIN) != is_late, parts, NEITHER)
    for part, name in ((TRAIN, "train on"), (TEST, "test with")):
        if not sessions.not_irrelevant[parts == part].any():
            raise DataError(
                f"A split by {kind} leaves no session with a click to {name}. Release a batch with "
                "more clicked sessions, or split otherwise: --split-by query."
            )
    return parts


def _queries(sessions: Sessions, *, by_words: bool) -> tuple[Ints, Ints]:
    """Return the unit of each session, and the units in the order of their first texts."""
    by_text: Ints = pc.sort_indices(sessions.queries).to_numpy()
    if not by_words:
        return sessions.query_index, by_text
    forms = word_forms(sessions.queries).take(pa.array(by_text)).dictionary_encode()
    unit = np.empty(len(by_text), dtype=np.int64)
    # Numbered by the first text of each, so that units of one query each are as those of `text`.
    unit[by_text] = forms.indices.to_numpy()
    return unit[sessions.query_index], np.arange(len(forms.dictionary))


def _users(sessions: Sessions) -> tuple[Ints, Ints]:
    if sessions.users is None:
        raise DataError(
            "The batch does not hold the users of its sessions. Release the log with --keep users."
        )
    users = sessions.users.astype(np.int64)
    # A user who is not known is another one each time.
    alone = np.flatnonzero(users < 0)
    users[alone] = -2 - np.arange(len(alone))
    names, unit = np.unique(users, return_inverse=True)
    return unit, np.arange(len(names))


def _parts_of_units(
    sessions: Sessions,
    unit: Ints,
    in_order: Ints,
    what: str,
    ratios: tuple[float, float],
    seed: int,
) -> Ints:
    """Shuffle units, and deal them out with all of their sessions."""
    test_ratio, holdout_ratio = ratios
    has_click = np.zeros(len(in_order), dtype=bool)
    has_click[unit[sessions.not_irrelevant]] = True
    used = np.zeros(len(in_order), dtype=bool)
    used[unit] = True
    if has_click.sum() < 2:
        several = {"query": "queries", "user": "users"}[what]
        raise DataError(
            f"{has_click.sum()} of {used.sum()} {several} have a click, and at least 2 are needed: "
            "one to train on and one to test with. Release a batch with more clicked sessions."
        )
    random = np.random.default_rng(seed)
    part: Ints = np.full(len(in_order), TRAIN)
    for kind in (has_click, used & ~has_click):
        places = random.permutation(in_order[kind[in_order]])
        count = round(test_ratio * len(places))
        if len(places) > 1:
            count = min(max(count, 1), len(places) - 1)
        kept = min(round(holdout_ratio * len(places)), max(len(places) - count - 1, 0))
        part[places[:count]] = TEST
        part[places[count : count + kept]] = HOLDOUT
    return part[unit]


def _later(sessions: Sessions, test_ratio: float, holdout_ratio: float) -> Ints:
    """Divide sessions by time; those of one moment are in one part."""
    times = sessions.times
    if times is None or (times < 0).any():
        raise DataError(
            "The batch does not hold the times of all of its sessions. Release a log that states "
            "them with --keep times."
        )
    ordered = np.sort(times)
    cuts = [
        ordered[min(round(share * len(ordered)), len(ordered) - 1)]
        for share in (max(1 - test_ratio - holdout_ratio, 0.0), 1 - holdout_ratio)
    ]
    late = times >= cuts[0]
    held = times >= cuts[1] if holdout_ratio else np.zeros(len(times), dtype=bool)
    return np.where(held, HOLDOUT, np.where(late, TEST, TRAIN))


@dataclass(frozen=True)
class Leakage:
    """What of the test sessions the training sessions know."""

    queries: float
    """The share of the test sessions whose query is trained on, in whatever order of words."""
    texts: float
    """The share whose query is trained on by its exact text."""
    users: float | None
    """The share whose user is; None where users are not known."""
    is_from_before: float | None
    """The share that is from before the last training session; None where times are not known."""

    def in_words(self) -> str | None:
        """Say what leaks; None where nothing that is known does."""
        shares = (
            (self.queries, "have a query of the same words as one that is trained on"),
            (self.users, "are of a user who is trained on"),
            (self.is_from_before, "are from before the last training session"),
        )
        known = [f"{share:.1%} {what}" for share, what in shares if share]
        return f"of the test sessions {', '.join(known)}" if known else None


def leakage(sessions: Sessions, train: Ints, test: Ints) -> Leakage:
    """Measure what of the test sessions the training sessions know.

    Args:
        sessions: The sessions of a batch.
        train: The places of the training sessions.
        test: The places of the test sessions.
    """
    forms = word_forms(sessions.queries).dictionary_encode().indices.to_numpy()
    form = forms[sessions.query_index]
    users, times = sessions.users, sessions.times
    known_users = None if users is None else users[train][users[train] >= 0]
    return Leakage(
        queries=_share_in(form[test], form[train]),
        texts=_share_in(sessions.query_index[test], sessions.query_index[train]),
        users=None if users is None or known_users is None else _share_in(users[test], known_users),
        is_from_before=None if times is None else float((times[test] < times[train].max()).mean()),
    )


def _share_in(values: npt.NDArray[np.integer], known: npt.NDArray[np.integer]) -> float:
    return float(np.isin(values, known).mean())
