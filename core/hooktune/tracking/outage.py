"""A tracking store that goes away for a while: how to tell, and how to wait for it."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from hooktune.errors import StoreAwayError
from hooktune.tracking.connection import answers
from hooktune.tracking.failures import insist, is_away
from hooktune.tracking.store_address import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PATIENCE: Final = 120.0
"""For how many seconds a store that is away is waited for where the work cannot go on without."""

_LONGEST_PAUSE: Final = 10.0  # seconds
_CALL_WITHIN: Final = 30  # seconds
_LOG_BATCH: Final = "/api/2.0/mlflow/runs/log-batch"


def pauses() -> Iterator[float]:
    """Yield for how many seconds to wait before each new try, ever longer up to a bound."""
    pause = 1.0
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def with_retries(uri: str, call: Callable[[], Answer], patience: float | None = None) -> Answer:
    """Call a store; while it is away, wait for it and call again.

    It is asked first whether it answers, as MLflow would wait for minutes to find out.

    Args:
        uri: The store.
        call: What may be done twice, because a reply can be lost.
        patience: How many seconds to wait at most; `PATIENCE` by default, 0 for a single try.

    Raises:
        StoreAwayError: The store did not come back.
    """
    patience = PATIENCE if patience is None else patience
    deadline = time.monotonic() + patience
    reason: Exception | None = None
    for number, pause in enumerate(pauses()):
        try:
            if answers(uri):
                return call()
        except Exception as error:
            if not is_away(error):
                raise
            reason = error
        left = deadline - time.monotonic()
        if left <= 0:
            break
        if number == 0:
            logger.warning(
                "the tracking store %s does not answer; waiting for it, %d seconds at most",
                without_password(uri), patience,
            )  # fmt: skip
        time.sleep(min(pause, left))
    raise StoreAwayError(
        f"The tracking store {without_password(uri)} is away. When it is back, give the same "
        "command again to do what is left."
    ) from reason


def write_points(
    client: "MlflowClient",
    run_id: str,
    points: "list[Metric]",
    check: Callable[[], None] | None = None,
) -> None:
    """Write metric points, without MLflow's own retries where there is a server.

    They can be set for a whole process alone, and would keep a thread for minutes. A point that is
    written again is stored once, so that a lost reply does no harm. A check is called first, which
    raises where the run is another process's now.
    """
    if check:
        check()
    import json

    from mlflow import MlflowClient

    if not client.tracking_uri.startswith(("http://", "https://")):
        # MLflow's own, which does not wait for a store that is locked: points wait in memory.
        MlflowClient.log_batch(client, run_id, metrics=points)
        return
    from mlflow.protos.service_pb2 import LogBatch
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.proto_json_utils import message_to_json
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    message = LogBatch(run_id=run_id, metrics=[point.to_proto() for point in points])

    def write() -> None:
        response = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(client.tracking_uri),  # type: ignore[no-untyped-call]
            _LOG_BATCH,
            "POST",
            json=json.loads(message_to_json(message)),
            max_retries=0,
            timeout=_CALL_WITHIN,
        )
        verify_rest_response(response, _LOG_BATCH)

    insist(write)
