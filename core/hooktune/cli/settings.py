"""The options of the command line for the settings of an iteration."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class CommandWithSettings(click.Command):
    """A command with an option for each setting of an iteration, before `--help`.

    They are made when the command is used: the settings are built on pydantic, and importing that
    would double the time of `hooktune --help`.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters of the command, those of the settings among them."""
        *params, help_option = super().get_params(ctx)
        return [*params, *_setting_options(), help_option]


@cache
def _setting_options() -> tuple[click.Option, ...]:
    from hooktune.contract.settings import IterationSettings, wording

    return tuple(
        click.Option(
            [f"--{name.replace('_', '-')}"],
            type=_option_type(field.annotation),
            metavar=wording(name).metavar,
            help=f"{field.description}  [default: {_default(name, field)}]",
            multiple=get_origin(field.annotation) is tuple,
            callback=_left_open,
        )
        for name, field in IterationSettings.model_fields.items()
    )


def _default(name: str, field: "FieldInfo") -> str:
    from hooktune.contract.settings import setting_text, wording

    return wording(name).default or setting_text(field.default)


def _left_open(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Return None for an option that was given no time of the several that it may be."""
    return None if value == () else value


def _option_type(annotation: Any) -> click.Choice[str] | type:
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    return annotation if annotation in (int, float, bool) else str
