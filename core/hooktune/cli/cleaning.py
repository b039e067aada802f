"""The options of `hooktune batch release` that ask for rules of cleaning."""

import functools
from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--max-searches-per-hour",
        type=click.IntRange(min=1),
        metavar="N",
        help="Set all searches of a user aside who has more than N in an hour, as of a bot.",
    ),
    click.option(
        "--max-clicks-per-hour",
        type=click.IntRange(min=1),
        metavar="N",
        help="Set all searches of a user aside who has more than N clicks in an hour.",
    ),
    click.option(
        "--join-within",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Make one of a user's searches for one query that follow each other within SECONDS.",
    ),
    click.option(
        "--set-aside",
        type=click.Choice(["sorted", "filtered"]),
        multiple=True,
        help="Set searches aside whose results a user had sorted or filtered. May be repeated.",
    ),
)


def cleaning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that ask for rules, which it gets as `cleaning`."""

    @functools.wraps(command)
    def with_rules(
        *args: Any,
        max_searches_per_hour: int | None,
        max_clicks_per_hour: int | None,
        join_within: float | None,
        set_aside: tuple[str, ...],
        **options: Any,
    ) -> Any:
        from hooktune.data.cleaning_rules import CleaningRules

        rules = CleaningRules(
            max_searches_per_hour,
            max_clicks_per_hour,
            join_within,
            set_aside_sorted="sorted" in set_aside,
            set_aside_filtered="filtered" in set_aside,
        )
        return command(*args, cleaning=rules, **options)

    for option in reversed(_OPTIONS):
        option(with_rules)
    return with_rules
