"""What `hooktune run` and `hooktune demo` print of what came of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hooktune.cli import rows
from hooktune.cli.comparison import print_comparison
from hooktune.cli.listings import print_runs
from hooktune.errors import HooktuneError

if TYPE_CHECKING:
    from hooktune.iteration.result import IterationResult, MethodOutcome
    from hooktune.iteration.runner import Runner
    from hooktune.plugin.choice import PluginChoice
    from hooktune.tracking import Tracker


def print_stored(
    runner: "Runner",
    plugins: "PluginChoice",
    methods: Sequence[str] | None,
    batch_id: str,
    began: float,
    as_json: bool,
) -> None:
    """Print what workers have come to, as if this process had done the runs."""
    from hooktune.iteration.stored_results import stored_results

    outcomes = stored_results(runner.tracker, plugins, methods, batch_id, began)
    if methods is None or len(methods) > 1:
        print_outcomes(runner, outcomes, as_json)
        return
    (outcome,) = outcomes
    if outcome.result is None:
        raise outcome.error or HooktuneError(f"Nothing came of {outcome.method}.")
    print_result(runner.tracker, outcome.result, as_json)


def print_result(tracker: "Tracker", result: "IterationResult", as_json: bool) -> None:
    """Print the runs of an iteration and what it came to.

    Raises:
        HooktuneError: None of its runs has finished.
    """
    print_runs(tracker, result.iteration, as_json, remarks=False)
    if not as_json:
        click.echo("\n".join(rows.result_summary(result)))
    _check_that_a_run_has_finished(result)


def _check_that_a_run_has_finished(result: "IterationResult") -> None:
    if not any(run.status == "FINISHED" for run in result.runs):
        raise HooktuneError(
            f"No run of {result.iteration.name} has finished; why is said above of each."
        )


def print_outcomes(runner: "Runner", outcomes: "Sequence[MethodOutcome]", as_json: bool) -> None:
    """Print what each method came to, and how they compare.

    Raises:
        HooktuneError: One of them has failed.
    """
    results = [outcome.result for outcome in outcomes if outcome.result]
    failures = [f"{outcome.method}: {outcome.error}" for outcome in outcomes if outcome.error]
    for result in results:
        try:
            if as_json:
                _check_that_a_run_has_finished(result)
            else:
                print_result(runner.tracker, result, as_json=False)
        except HooktuneError as error:
            failures.append(str(error))
    if results:
        print_comparison(runner.compare(results[0].iteration.name.batch_id), as_json)
    if failures:
        raise HooktuneError(
            f"{len(failures)} of {len(outcomes)} methods have failed. {' '.join(failures)}"
        )
