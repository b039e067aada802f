"""The bundled samplers: which hyper-parameters the next run is to try."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from hooktune import Proposal, Search, hookimpl
from hooktune_search.draws import from_grid, from_sobol, random_draw
from hooktune_search.models import from_gp, from_tpe
from hooktune_search.warm import from_earlier

Sampler = Callable[[Search], Proposal | None]


def _after_the_defaults(sampler: Sampler) -> Sampler:
    """Let the first run have the defaults, which somebody has chosen with care."""

    def propose_next(search: Search) -> Proposal | None:
        if search.number == search.attempt == 0:
            return Proposal({}, "the defaults")
        return sampler(search)

    return propose_next


_SAMPLERS: Final[Mapping[str, tuple[Sampler, str]]] = MappingProxyType(
    {
        "warm": (from_earlier, "the best of earlier iterations, then draws around them"),
        "random": (_after_the_defaults(random_draw), "the defaults, then random draws"),
        "grid": (from_grid, "all combinations of five values of each, in mixed order"),
        "sobol": (_after_the_defaults(from_sobol), "the defaults, then draws that spread evenly"),
        "tpe": (_after_the_defaults(from_tpe), "tree-structured Parzen estimators, by Optuna"),
        "gp": (_after_the_defaults(from_gp), "a Gaussian process, by Optuna"),
    }
)


@hookimpl
def samplers() -> dict[str, str]:
    """Name the bundled samplers."""
    return {name: words for name, (_, words) in _SAMPLERS.items()}


@hookimpl
def propose(sampler: str, search: Search) -> Proposal | None:
    """Propose what one of them would try next."""
    return _SAMPLERS[sampler][0](search)
