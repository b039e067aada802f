"""The view of an iteration's runs that MLflow's page offers: what decides first, the best on top.

Opened plainly, MLflow's table of runs shows none of their metrics, and no tag orders its columns.
What it has is saved views, which people make in the table's menu and which it keeps as tags of the
experiment; this is one of them, written in the same form.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hooktune.contract.metric import shown_metrics
from hooktune.tracking.records import TAG_LENGTH, Iteration, RunRecord

VIEW_ID: Final = "hooktune"
VIEW_TAG: Final = f"mlflow.sharedViewState.{VIEW_ID}"

TRAINING_PAGES: Final = "workflowType=machine_learning"
"""The part of an address by which MLflow shows its pages of training, and not those of prompts."""

_NAME: Final = "Results"
_WIDTH, _WIDTH_OF_SIGN = -35, 8  # pixels; a column's id is its name and some ten signs


def view_address(iteration: Iteration) -> str:
    """Return the address of the view, from any page of the same MLflow."""
    runs = f"#/experiments/{iteration.experiment_id}/runs"
    return f"{runs}?{TRAINING_PAGES}&viewStateShareKey={VIEW_ID}"


def saved_view(iteration: Iteration, runs: Iterable[RunRecord]) -> str | None:
    """Return the view as MLflow keeps it: results, then the hyper-parameters that differ.

    Returns:
        The tag's text, or None where it would be longer than MLflow takes.
    """
    main = iteration.settings.main_metric
    columns = [f"metrics.`{name}`" for name in (*shown_metrics(main.name), "fit_seconds")]
    columns += [
        f"params.`{name}`"
        for name in _differing([run.params for run in runs if not run.average_of])
    ]
    columns.append("attributes.`Models`")
    # Every field of MLflow's, since its page takes the view for the whole of its state.
    state: dict[str, Any] = {
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": {name: _WIDTH + _WIDTH_OF_SIGN * len(name) for name in columns},
        "orderByKey": columns[0],
        "orderByAsc": not main.greater_is_better,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
    }
    view = {"name": _NAME, "createdAt": iteration.created_at, "state": json.dumps(state)}
    text = json.dumps(view)
    return text if len(text) <= TAG_LENGTH else None


def _differing(params: Sequence[dict[str, Any]]) -> list[str]:
    """Return the hyper-parameters that do not have one value in all runs; of one run, all."""
    names = dict.fromkeys(name for values in params for name in values)
    if len(params) < 2:
        return list(names)
    return [name for name in names if len({repr(values.get(name)) for values in params}) > 1]
