"""Which model is kept, and which ones are deleted."""

import json
import math
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracked import (
    METHOD,
    SHIFT,
    begin,
    do_run,
    finish,
    initial_run,
    model_folders,
    runs_with_model,
    start_run,
)
from warm_python import run_python

from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.iteration.takeover import end_dead_runs
from hooktune.naming import IterationName
from hooktune.testing import tiny_model
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models import files as models
from hooktune.tracking.models.best import choose_best, rank
from hooktune.tracking.models.uploading import upload_model


def a_run(number: int, value: float | None, name: str = SHIFT) -> RunRecord:
    metrics = {} if value is None else {name: value}
    return RunRecord(
        f"{number:032x}", "", "FINISHED", METHOD, "0" * 24, {}, metrics, number // 2, 1.0, None,
        None, None, "1", {},
    )  # fmt: skip


def an_iteration(main: MainMetric, starting: float | None) -> Iteration:
    name, metrics = (
        IterationName(METHOD, "0" * 24),
        {} if starting is None else {main.name: starting},
    )
    settings = IterationSettings(main_metric=main)
    return Iteration("1", name, settings, "0", None, metrics, None, None, None, 0)


def test_a_run_that_a_guard_holds_back_is_not_chosen():
    iteration = an_iteration(MainMetric(SHIFT), 0.0)
    held = replace(a_run(0, 3.0), tags={"hooktune.held_back": "worse by something"})
    assert choose_best(iteration, [held]) is None
    assert choose_best(iteration, [held, a_run(1, 2.0)]).run_id == f"{1:032x}"


VALUES = st.lists(st.none() | st.just(math.nan) | st.integers(-3, 3).map(float), max_size=8)


@given(values=VALUES, starting=st.none() | st.integers(-2, 2).map(float), greater=st.booleans())
def test_the_best_run_is_the_same_in_whatever_order_runs_finish(values, starting, greater):
    iteration = an_iteration(MainMetric(SHIFT, greater), starting)
    runs = [a_run(number, value) for number, value in enumerate(values)]
    sign = -1 if greater else 1
    by_hand = sorted(
        (sign * value, number)
        for number, value in enumerate(values)
        if value is not None
        and not math.isnan(value)
        and (starting is None or sign * value < sign * starting)
    )
    expected = f"{by_hand[0][1]:032x}" if by_hand else None

    one_by_one = None
    for run in reversed(runs):
        one_by_one = choose_best(iteration, [run] if one_by_one is None else [one_by_one, run])
    at_once = choose_best(iteration, runs)

    assert (at_once and at_once.run_id) == expected
    assert (one_by_one and one_by_one.run_id) == expected


def test_no_two_runs_have_the_same_rank():
    main = MainMetric()
    assert (
        len({rank(main, a_run(number, value)) for number in range(3) for value in (1.0, 2.0)}) == 6
    )


def test_one_model_is_kept_and_the_disk_is_freed(tracker: Tracker):
    iteration = begin(tracker)
    runs = [do_run(tracker, iteration, value) for value in (0.1, 0.3, math.nan, None, 0.2, 0.3)]

    best = tracker.best(tracker.iteration(iteration.name))

    assert best == runs[1], "of equal runs the first stays"
    assert runs_with_model(tracker) == {best.run_id}
    assert len(model_folders(tracker)) == 2, "the best one and the initial one"


def test_infinity_is_no_measurement(tracker: Tracker):
    iteration = begin(tracker)
    run = do_run(tracker, iteration, math.inf)
    assert math.isnan(run.metrics[SHIFT])
    assert tracker.best(tracker.iteration(iteration.name)) is None


def test_lower_is_better_where_the_main_metric_says_so(tracker: Tracker):
    settings = IterationSettings(main_metric=MainMetric("test_loss", False))
    iteration = finish(tracker, 1, 0.7, 0.5, 0.9, settings=settings, starting_value=0.8)
    assert tracker.best(iteration).metrics == {"test_loss": 0.5}


def test_a_loss_competes_with_the_starting_models_own(tracker: Tracker):
    settings = IterationSettings(main_metric=MainMetric("test_loss", False))
    iteration = begin(tracker, settings=settings)
    iteration = tracker.record_starting_metrics(iteration, {})
    for loss, starting in ((99.0, 1.0), (1.5, 2.0), (1.2, 1.1)):
        run = start_run(tracker, iteration, loss)
        tracker.tag(run, {"hooktune.starting_metrics": json.dumps({"test_loss": starting})})
        tracker.keep_if_best(run, tiny_model(), 1)
        tracker.end_run(run, "FINISHED")
    iteration = tracker.finish_iteration(iteration)
    assert tracker.best(iteration).metrics == {"test_loss": 1.5}, "the others do not beat theirs"
    assert iteration.starting_metrics_of(tracker.best(iteration)) == {"test_loss": 2.0}


def test_the_model_of_the_previous_iteration_goes_when_a_new_one_beats_it(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    second = finish(tracker, 2, 0.2)

    assert second.starting_run == first.best_run
    assert second.improved
    assert tracker.starting_model(METHOD).run_id == second.best_run
    assert runs_with_model(tracker) == {second.best_run}
    assert tracker.run(first.best_run).metrics == {SHIFT: 0.1}
    assert tracker.has_model(initial_run(tracker))


def test_an_iteration_that_improves_nothing_leaves_its_starting_model(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    second = finish(tracker, 2, -0.1)
    third = begin(tracker, 3)

    assert second.improved is False
    assert third.starting_run == first.best_run
    assert runs_with_model(tracker) == {first.best_run}

    do_run(tracker, third, 0.1)
    third = tracker.finish_iteration(third)
    assert runs_with_model(tracker) == {third.best_run}


def test_an_iteration_continued_late_takes_no_model_that_another_starts_from(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    second = finish(tracker, 2, -0.1)
    finish(tracker, 3, -0.1)
    do_run(tracker, second, 0.2)
    tracker.finish_iteration(second)
    # The last iteration to finish improved nothing, so that the next one starts where it did.
    assert tracker.starting_model(METHOD).run_id == first.best_run
    assert tracker.has_model(tracker.run(first.best_run))


def test_a_model_stays_while_an_unfinished_iteration_starts_from_it(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    start = tracker.run(first.best_run)
    begin(tracker, 9, method="Another Method", start=start)
    finish(tracker, 2, 0.2)
    assert tracker.has_model(start)


def test_repeating_a_finished_iteration_keeps_what_is_recorded(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    second = finish(tracker, 2, 0.2)
    assert tracker.finish_iteration(first) == first
    worse = do_run(tracker, first, 0.05)
    assert tracker.finish_iteration(first).best_run == first.best_run
    assert not tracker.has_model(worse)
    assert runs_with_model(tracker) == {second.best_run}


@pytest.mark.parametrize("address", ["models:/{model_id}", "runs:/{run_id}/model", "{location}"])
def test_a_registered_model_is_never_deleted(tracker: Tracker, monkeypatch, address: str):
    # The store looks `models:/` up in the store of the environment.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.tracking_uri)
    first = finish(tracker, 1, 0.1)
    run = tracker.run(first.best_run)
    location = tracker.client.get_logged_model(run.model_id).artifact_location
    tracker.client.create_registered_model("search")
    tracker.client.create_model_version(
        "search", address.format(model_id=run.model_id, run_id=run.run_id, location=location)
    )
    finish(tracker, 2, 0.2)
    assert tracker.has_model(run)
    assert tracker.load_model(run, "cpu").get_embedding_dimension() == 32


def test_what_others_put_into_an_iteration_is_let_alone(tracker: Tracker):
    iteration = begin(tracker)
    client = tracker.client
    foreign = client.create_run(iteration.experiment_id, run_name="by hand").info.run_id
    client.log_metric(foreign, SHIFT, 9.0)
    client.set_terminated(foreign)
    ours = do_run(tracker, iteration, 0.1)
    theirs = [
        client.create_logged_model(iteration.experiment_id, name="model", source_run_id=foreign),
        client.create_logged_model(iteration.experiment_id, name="model"),
        client.create_logged_model(
            iteration.experiment_id, name="other", source_run_id=ours.run_id
        ),
    ]
    do_run(tracker, iteration, 0.2)
    iteration = tracker.finish_iteration(iteration)

    assert [run.metrics[SHIFT] for run in tracker.runs(iteration)] == [0.1, 0.2]
    assert all(models.find_model(client, model.model_id) for model in theirs)


def test_two_processes_that_decide_at_once_agree(store_uri: str, tracker: Tracker):
    iteration = begin(tracker)
    better, worse = start_run(tracker, iteration, 0.2), start_run(tracker, iteration, 0.1)
    other = Tracker(store_uri)
    # The worse one decides to upload before it can know of the better one, and comes second.
    upload_model(other.client, worse, tiny_model())
    assert tracker.keep_if_best(better, tiny_model(), 1)
    assert not other.keep_if_best(worse, tiny_model(), 1)
    other.end_run(worse, "FINISHED")
    tracker.end_run(better, "FINISHED")
    iteration = tracker.finish_iteration(iteration)
    assert iteration.best_run == better.run_id
    assert runs_with_model(tracker) == {better.run_id}


def test_a_deletion_that_fails_is_a_warning_and_is_made_up_for(
    tracker: Tracker, caplog, monkeypatch
):
    iteration = begin(tracker)
    old = do_run(tracker, iteration, 0.1)

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr("hooktune.tracking.models.best.delete_model", refuse)
        new = do_run(tracker, iteration, 0.2)
    assert new.status == "FINISHED"
    assert f"the model of run {old.run_id} could not be deleted now: read-only" in caplog.text

    tracker.finish_iteration(iteration)
    assert runs_with_model(tracker) == {new.run_id}


def test_the_best_run_has_finished_even_if_it_is_interrupted_afterwards(tracker: Tracker):
    iteration = begin(tracker)
    run = start_run(tracker, iteration, 0.1)
    tracker.keep_if_best(run, tiny_model(), 1)
    run = tracker.end_run(run, "KILLED", "interrupted")
    assert (run.status, run.failure) == ("FINISHED", None)


def test_a_model_that_did_not_arrive_whole_is_not_kept(tracker: Tracker, monkeypatch):
    iteration = begin(tracker)
    old = do_run(tracker, iteration, 0.1)
    run = start_run(tracker, iteration, 0.2)
    upload = tracker.client.log_model_artifacts

    def lose_a_file(model_id: str, folder: str) -> None:
        upload(model_id, folder)
        location = tracker.client.get_logged_model(model_id).artifact_location
        (Path(location.removeprefix("file://")) / "MLmodel").write_text("", encoding="utf-8")

    monkeypatch.setattr(tracker.client, "log_model_artifacts", lose_a_file)
    with pytest.raises(Exception, match="did not arrive whole in the store: MLmodel"):
        tracker.keep_if_best(run, tiny_model(), 1)
    tracker.end_run(run, "FAILED", "not whole")

    assert tracker.best(tracker.iteration(iteration.name)) == old
    assert len(model_folders(tracker)) == 2


KILLED_AT = {
    # moment: (function of MlflowClient and what it is about, killed before or after it,
    # what the run's status is to be)
    "before the upload": ("create_logged_model", "before", "KILLED"),
    "with nothing uploaded yet": ("create_logged_model", "after", "KILLED"),
    "with the upload not checked": ("log_model_artifacts", "after", "KILLED"),
    "before it is marked": ("finalize_logged_model", "after", "KILLED"),
    "while it claims the decision": ("set_experiment_tag hooktune.claim", "after", "KILLED"),
    "once it is marked": ("set_experiment_tag hooktune.best_run", "after", "FINISHED"),
    "with the old one's files deleted": ("delete_logged_model", "before", "FINISHED"),
    "once the old one is deleted": ("delete_logged_model", "after", "FINISHED"),
    "before others may decide": ("delete_experiment_tag", "before", "FINISHED"),
}

# Forks for each moment, since a new interpreter would take seconds each time.
KILLED_SCRIPT = """
    import json, os, signal, sys
    import torch
    from mlflow import MlflowClient
    from tracked import METHOD, start_run
    from hooktune.naming import IterationName
    from hooktune.testing import tiny_model
    from hooktune.tracking import Tracker

    uri, moments = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(1)
    model = tiny_model()

    def do_run_and_die(batch, function, when):
        tracker = Tracker(uri)
        iteration = tracker.iteration(IterationName(METHOD, f"{batch:024x}"))
        run = start_run(tracker, iteration, 0.2, "killed")
        function, _, about = function.partition(" ")
        wrapped = getattr(MlflowClient, function)

        def die(*args, **kwargs):
            if about not in str(args):
                return wrapped(*args, **kwargs)
            if when == "after":
                wrapped(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(MlflowClient, function, die)
        tracker.keep_if_best(run, model, 1)

    for batch, (function, when, _) in enumerate(moments, start=1):
        if child := os.fork():
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        else:
            try:
                do_run_and_die(batch, function, when)
            finally:
                os._exit(1)
"""


def test_whenever_the_process_is_killed_a_whole_best_model_is_there(tracker: Tracker):
    iterations = [
        begin(tracker, batch, start=initial_run(tracker))
        for batch, _ in enumerate(KILLED_AT, start=1)
    ]
    olds = [do_run(tracker, iteration, 0.1) for iteration in iterations]
    moments = json.dumps(list(KILLED_AT.values()))
    done = run_python(
        "-c", dedent(KILLED_SCRIPT), tracker.tracking_uri, moments, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr

    for iteration, old, (moment, (*_, status)) in zip(
        iterations, olds, KILLED_AT.items(), strict=True
    ):
        run = next(run for run in tracker.runs(iteration) if run.name == "killed")
        assert run.status == "RUNNING", moment
        best = run if status == "FINISHED" else old
        left = tracker.best(tracker.iteration(iteration.name))
        assert left.run_id == best.run_id, moment
        assert tracker.load_model(left, "cpu").get_embedding_dimension() == 32, moment

        end_dead_runs(tracker, iteration)

        assert tracker.best(tracker.iteration(iteration.name)).run_id == best.run_id, moment
        assert tracker.run(run.run_id).status == status, moment
        assert tracker.runs_with_model(iteration) == {best.run_id}, moment
    assert len(model_folders(tracker)) == len(KILLED_AT) + 1, "and the initial one"
