"""The map that queries are given on top of what was trained."""

import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from hooktune import ActiveRun, PluginError, Sessions
from hooktune_default.params import Params
from hooktune_query_map.fit import Stopped
from hooktune_query_map.params import Params as MapParams
from hooktune_query_map.tuning import evidence_of, give_map, learn_map

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_ATTRACTION: Final = 60.0
"""So much that the similarity of what is clicked, by which this method is judged, does not fall."""


def turn_queries(
    run: ActiveRun, model: "SentenceTransformer", sessions: Sessions, params: Params, step: int
) -> None:
    """Learn a query map from what a trained model makes of the training texts, and give it to it.

    A map that the model has is the start, as in the Query Map Method. Where there are too few
    queries to learn one from, or the model cannot have one, it stays as it is.

    Args:
        run: Takes how far the map goes; its seed and the wish to stop are followed.
        model: The model, which is changed in place.
        sessions: The training sessions.
        params: How far the map may go.
        step: The step at which the map counts as learned.
    """
    chosen = MapParams(step=params.query_map, attraction=_ATTRACTION)
    queries = len(np.unique(sessions.query_index[sessions.not_irrelevant]))
    if queries < chosen.min_queries:
        logger.info(
            "no query map is learned: %d training queries have a click, and it takes %d",
            queries,
            chosen.min_queries,
        )
        return
    try:
        evidence, start = evidence_of(run, model, sessions)
        learned = learn_map(run, evidence, start, chosen)
        if learned.weight is not None:
            give_map(model, learned.weight)
    except Stopped:
        return
    except PluginError as error:
        logger.warning("no query map is learned: %s", error)
        return
    run.log({"query_map_step": learned.taken}, step, accumulate=())
