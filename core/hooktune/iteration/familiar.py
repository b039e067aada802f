"""Whether a batch looks like the one that its method was tuned on before."""

import logging

from hooktune.data.summary import BatchSummary, differences
from hooktune.tracking import Iteration, Tracker
from hooktune.tracking.batch_summaries import last_summary, record_summary

logger = logging.getLogger(__name__)


def warn_of_another_log(tracker: Tracker, method: str, batch: BatchSummary) -> None:
    """Warn where a batch does not look like that of a method's last finished iteration."""
    text = last_summary(tracker.client, method)
    last = None if text is None else BatchSummary.from_text(text)
    if last is None or last.batch_id == batch.batch_id:
        return
    found = differences(last, batch)
    if found:
        logger.warning(
            "the batch %s does not look like %s, on which %s was tuned last. %s. See what became "
            "of the log by `hooktune batch show`, and of both by `hooktune batch diff`",
            batch.batch_id, last.batch_id, method, ". ".join(found),
        )  # fmt: skip


def remember(tracker: Tracker, iteration: Iteration, batch: BatchSummary) -> None:
    """Record what the batch of an iteration looks like, for those that follow."""
    record_summary(tracker.client, iteration, batch.model_dump_json())
