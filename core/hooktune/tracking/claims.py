"""Claims: how processes that share nothing but the tracking store agree on who does what.

MLflow has no compare-and-swap, so a claim is a flag and a look. Who wants a key sets a tag of their
own on the experiment, and then reads the experiment's tags: whoever finds no other claim of that
key holds it. Of two processes at least the later one to set its tag finds the other's, so that
never both hold it; where each finds the other's, both step back and try again (Dijkstra 1965,
"Solution of a problem in concurrent programming control", without its turn).
"""

import json
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pydantic_core import from_json

from hooktune.errors import ClaimLostError, StoreAwayError
from hooktune.processes import describe_process, has_died
from hooktune.tracking.connection import answers
from hooktune.tracking.records import to_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

CLAIM_PREFIX: Final = "hooktune.claim."
RENEWED_EVERY: Final = 15.0  # seconds
STALE_AFTER: Final = 120.0  # seconds

_ATTEMPTS: Final = 8
_LEFT: Final[set[str]] = set()
"""Claims that this process has given up and could not remove, which are nobody's."""

_LONGEST_STEP_BACK: Final = 0.4  # seconds


class Claim:
    """A key that this process holds until it leaves the `with` block.

    A thread renews it, so that others can tell a process that is at work from one that is gone.
    """

    def __init__(self, client: "MlflowClient", experiment_id: str, key: str, tag: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._key = key
        self._tag = tag
        self._renewed = _now()
        self._lock = Lock()
        self._over = Event()
        self._lost = Event()
        self._thread = Thread(target=self._keep_renewing, name=f"claim of {key}", daemon=True)

    def check(self) -> None:
        """Make sure that the key is still this process's own, as far as it knows.

        Raises:
            ClaimLostError: Another process took it for dead.
        """
        if self._lost.is_set():
            raise ClaimLostError(
                f"This process did not answer for {STALE_AFTER:.0f} seconds or more, and another "
                "one took over what it was doing."
            )

    def confirm(self) -> None:
        """Renew it before something is decided, unless the store is away and nothing can be.

        Raises:
            ClaimLostError: Another process took this one for dead.
        """
        try:
            self.renew()
        except ClaimLostError:
            raise
        except Exception as error:
            logger.warning("the store cannot be told now that this process lives: %s", error)

    def check_before_writing(self) -> None:
        """Make sure that no other process took the key while this one, or its machine, slept.

        The store is asked only when the last renewal is so long ago that this can have happened.

        Raises:
            ClaimLostError: One did.
            StoreAwayError: The store cannot tell now.
        """
        self.check()
        if not self._is_late():
            return
        self.confirm()
        if self._is_late():
            raise StoreAwayError(f"It cannot be told now whether {self._key} was taken over.")

    def _is_late(self) -> bool:
        return _now() - self._renewed > STALE_AFTER / 2

    def renew(self) -> None:
        """Tell the others that this process is at work, unless one of them took it for dead.

        Raises:
            ClaimLostError: One did.
        """
        with self._lock:
            # While the store is away nobody else can take the key, and work goes on.
            if self._over.is_set() or not answers(self._client.tracking_uri):
                return
            began = _now()
            if self._tag not in read_claims(self._client, self._experiment_id, self._key):
                self._lost.set()
            self.check()
            self._client.set_experiment_tag(self._experiment_id, self._tag, _description())
            if self._is_late():
                # So late, the tag may have been removed between the look and the new one.
                others = read_claims(self._client, self._experiment_id, self._key)
                if others.keys() - {self._tag}:
                    self._lost.set()
                    remove_claim(self._client, self._experiment_id, self._tag)
                self.check()
            self._renewed = began

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        with self._lock:
            if self._lost.is_set():
                return
            if answers(self._client.tracking_uri):
                remove_claim(self._client, self._experiment_id, self._tag)
            else:
                _LEFT.add(self._tag)

    def _keep_renewing(self) -> None:
        while not self._over.wait(RENEWED_EVERY):
            try:
                self.confirm()
            except ClaimLostError:
                return


@dataclass
class _Seen:
    """What this process has seen of another's claim."""

    value: str
    at: float
    unchanged: float = 0.0
    """For how many seconds it has been seen to stay the same."""


class Claims:
    """The claims of one experiment, as one process makes them and watches those of others.

    Args:
        client: MLflow's client of the store.
        experiment_id: The experiment.
        left_by: A process that is not at work on it any more, even if it lives.
    """

    def __init__(
        self, client: "MlflowClient", experiment_id: str, left_by: str | None = None
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._left_by = left_by
        self._seen: dict[str, _Seen] = {}

    def try_claim(self, key: str) -> Claim | None:
        """Claim a key; None where another process holds it."""
        for _ in range(_ATTEMPTS):
            # Looked at first, so that those who wait do not disturb one another.
            if self.is_claimed(key):
                return None
            tag = f"{CLAIM_PREFIX}{key}.{secrets.token_hex(8)}"
            alone = False
            self._client.set_experiment_tag(self._experiment_id, tag, _description())
            try:
                alone = not self.is_claimed(key, but_by=tag)
            finally:
                if not alone:
                    remove_claim(self._client, self._experiment_id, tag)
            if alone:
                return Claim(self._client, self._experiment_id, key, tag)
            _step_back()
        return None

    @contextmanager
    def claimed(self, key: str) -> Iterator[Claim]:
        """Claim a key, waiting for as long as others hold it."""
        while (claim := self.try_claim(key)) is None:
            _step_back()
        with claim:
            yield claim

    def is_claimed(self, key: str, but_by: str | None = None) -> bool:
        """Tell whether a living process claims a key, and remove the claims of dead ones."""
        living = False
        for tag, value in read_claims(self._client, self._experiment_id, key).items():
            if tag == but_by:
                continue
            if self._is_dead(tag, value):
                logger.info("removing the claim of a process that is gone: %s", value)
                remove_claim(self._client, self._experiment_id, tag)
            else:
                living = True
        return living

    def sweep(self) -> None:
        """Remove the claims of all processes of this machine that are gone."""
        for tag, value in read_claims(self._client, self._experiment_id).items():
            if tag in _LEFT or has_died(_process(value)):
                remove_claim(self._client, self._experiment_id, tag)

    def _is_dead(self, tag: str, value: str) -> bool:
        """Tell whether a claim is of a dead process of this machine, or was not renewed for long.

        Clocks of two machines differ, so what counts is how long this process has seen the same
        claim; and each look counts for a few seconds only, as this process may have slept, or the
        store may have been away, so that nobody could renew anything.
        """
        now = _now()
        seen = self._seen.get(tag)
        if seen is None or seen.value != value:
            self._seen[tag] = _Seen(value, now)
        else:
            seen.unchanged += min(now - seen.at, RENEWED_EVERY)
            seen.at = now
        process = _process(value)
        is_left = tag in _LEFT or (process is not None and process == self._left_by)
        return is_left or has_died(process) or self._seen[tag].unchanged > STALE_AFTER


def read_claims(
    client: "MlflowClient", experiment_id: str, key: str | None = None
) -> dict[str, str]:
    """Return the claims of a key or of all, of processes dead and alive, by their tags."""
    prefix = CLAIM_PREFIX if key is None else f"{CLAIM_PREFIX}{key}."
    tags = client.get_experiment(experiment_id).tags
    return {tag: text for tag, text in tags.items() if tag.startswith(prefix)}


def remove_claim(client: "MlflowClient", experiment_id: str, tag: str) -> None:
    """Remove a claim; where that fails it is left to whoever meets it once it is stale."""
    try:
        client.delete_experiment_tag(experiment_id, tag)
    except Exception as error:
        # Where it is not there, somebody else was quicker, or only the answer had been lost.
        if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
            logger.warning("the claim %s could not be removed now: %s", tag, error)
            _LEFT.add(tag)


def _description() -> str:
    process = json.loads(describe_process())
    return to_json({"process": process, "renewed_at": datetime.now(UTC).isoformat()})


def _process(description: str) -> str | None:
    """Return a claim's process, as `describe_process` wrote it."""
    try:
        return json.dumps(from_json(description)["process"], sort_keys=True)
    except (ValueError, TypeError, KeyError):
        return None


def _step_back() -> None:
    # Not by the generators that a run has seeded.
    time.sleep(secrets.SystemRandom().uniform(0.02, _LONGEST_STEP_BACK))


def _now() -> float:
    """Return seconds that go on while the machine sleeps, where the system counts those."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
