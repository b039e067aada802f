"""`hooktune params`: what can be chosen of a method."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hooktune.cli.group import Context, cli, json_option
from hooktune.cli.tables import Column, Table, json_text, print_table

if TYPE_CHECKING:
    from hooktune.contract.search_space import HyperParameter, SearchMark


@cli.command()
@click.argument("method")
@json_option
@click.pass_obj
def params(context: Context, method: str, as_json: bool) -> None:
    """Show the hyper-parameters of a method.

    METHOD is the display name of an installed method or the path of a Python file that holds one.
    No store is needed.
    """
    from hooktune.contract.search_space import describe_hyper_parameters
    from hooktune.plugin.choice import PluginChoice

    host = PluginChoice(context.block, only=None, given=()).open_host(method)
    described = describe_hyper_parameters(host.hyper_parameters())
    if as_json:
        click.echo(json_text([hyper_parameter_json(parameter) for parameter in described]))
    elif described:
        print_table(hyper_parameters_table(described))
    else:
        click.echo("It has no hyper-parameters.")


def hyper_parameter_json(parameter: "HyperParameter") -> dict[str, Any]:
    """Return a hyper-parameter as JSON values."""
    from pydantic_core import to_jsonable_python

    values: dict[str, Any] = to_jsonable_python(asdict(parameter), fallback=str)
    return values


def hyper_parameters_table(parameters: "Sequence[HyperParameter]") -> Table:
    """Lay out hyper-parameters, a line each."""
    columns = (
        Column("name"), Column("type", 4, is_prose=True), Column("default"),
        Column("allowed", 5, is_prose=True), Column("searched", 6, is_prose=True),
        Column("description", 7, is_prose=True),
    )  # fmt: skip
    rows = [
        (
            parameter.name, parameter.type, str(parameter.default), parameter.bounds,
            _search_in_words(parameter.search), parameter.description,
        )
        for parameter in parameters
    ]  # fmt: skip
    return Table(columns, rows)


def _search_in_words(search: "SearchMark | None") -> str:
    from hooktune.contract.search_space import SearchRange

    if search is None:
        return ""
    if isinstance(search, SearchRange):
        words = f"{search.low} to {search.high}{', logarithmic' if search.log else ''}"
    else:
        words = "one of " + ", ".join(map(str, search.values))
    return f"{words}, where {search.condition_in_words}" if search.when else words
