"""Which model may become the champion, and what it is compared with."""

import pickle

import numpy as np
import pytest
from champions import champion, do_run, finish, hand_over, no_host
from made_figures import made_figures
from mlflow import MlflowClient
from mlflow.store.artifact.utils.models import _parse_model_uri
from tracked import METHOD, SHIFT, begin, model_folders, runs_with_model

import hooktune_metrics
from hooktune import hookimpl, load_champion
from hooktune.contract.metric import RANKING_METRIC
from hooktune.contract.splits import held_out_sessions
from hooktune.data.release import open_batch
from hooktune.errors import HooktuneError, RequestError, UnsafeModelError
from hooktune.evaluation.champion import roll_back
from hooktune.evaluation.promotion import promote
from hooktune.evaluation.query_figures import QUERIES_FILE
from hooktune.naming import registered_model_name
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.testing import tiny_model
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.models import champions as registry


def test_a_better_model_takes_over_and_no_champion_is_ever_deleted(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    hand_over(tracker)
    second = finish(tracker, 2, 0.2)
    assert runs_with_model(tracker) == {first.run_id, second.run_id}, "the champion stays"
    made = hand_over(tracker)
    assert (made.champion.number, made.replaced.number) == (2, 1)
    assert made.champion.replaced == 1

    before, now = roll_back(tracker, METHOD)
    assert (before.number, now.number) == (2, 1)
    assert champion(tracker).run_id == first.run_id
    assert "hooktune.rolled_back_at" in registry.find_version(tracker.client, METHOD, 2).tags
    with pytest.raises(HooktuneError, match="as version 2 and was rolled back"):
        hand_over(tracker)

    third = finish(tracker, 3, 0.3)
    kept = {first.run_id, second.run_id, third.run_id}
    assert runs_with_model(tracker) == kept, "the rolled back one stays too"
    tracker.finish_iteration(tracker.iterations()[-1])
    assert runs_with_model(tracker) == kept
    with pytest.raises(RequestError, match="replaced no champion"):
        roll_back(tracker, METHOD)


def test_the_champion_stays_where_the_model_is_not_better(tracker: Tracker):
    worse = finish(tracker, 1, 0.1, 0.4)
    with pytest.raises(HooktuneError, match=r"ranks worse than its starting model \(0.4000"):
        hand_over(tracker)
    assert champion(tracker) is None

    forced = hand_over(tracker, force=True)
    assert forced.champion.run_id == worse.run_id
    assert forced.champion.tags["hooktune.decision"] == "forced"
    assert "ranks worse" in forced.champion.tags["hooktune.objections"]

    finish(tracker, 2, 0.2, None)
    with pytest.raises(HooktuneError, match="not known of both"):
        hand_over(tracker)
    assert champion(tracker).number == 1


def test_a_run_added_to_the_iteration_is_compared_within_it(tracker: Tracker):
    finish(tracker, 1, 0.1)
    hand_over(tracker)
    (iteration,) = tracker.iterations()
    do_run(tracker, iteration, 0.2, 0.5)
    tracker.finish_iteration(iteration)
    assert len(model_folders(tracker)) == 3, "initial, champion, best"
    made = hand_over(tracker)
    assert made.contest.present[SHIFT] == 0.1
    assert made.champion.number == 2


def keep_figures(
    tracker: Tracker, run: RunRecord, shift: float, ranking: float, queries: int = 100
) -> None:
    """Keep what queries are said to have come to: so much more than before on average."""
    start = np.random.default_rng(0).uniform(0.3, 0.5, queries)
    noise = np.random.default_rng(int(1_000 * shift)).normal(0, 1, queries)
    noise = 0.1 * (noise - noise.mean()) / noise.std()
    values = {
        name: (start, start + change + noise)
        for name, change in ((SHIFT, shift), (RANKING_METRIC, ranking))
    }
    tracker.log_file(run, made_figures(values).to_bytes(), QUERIES_FILE)


def test_the_first_champion_must_not_be_worse_and_the_next_ones_better(tracker: Tracker):
    first = finish(tracker, 1, 0.005)
    keep_figures(tracker, first, 0.005, 0)
    with pytest.raises(HooktuneError, match="cannot be told from its starting model: "):
        hand_over(tracker, require="better")
    made = hand_over(tracker)
    assert made.champion.tags["hooktune.decision"] == "not worse"
    assert (
        float(made.champion.tags["hooktune.low"]) < 0 < float(made.champion.tags["hooktune.high"])
    )

    second = finish(tracker, 2, 0.006)
    keep_figures(tracker, second, 0.006, 0)
    with pytest.raises(HooktuneError, match=r"more are needed.*`--require not-worse` promotes it"):
        hand_over(tracker)
    keep_figures(tracker, second, 0.1, -0.1)
    told = f"by {RANKING_METRIC} it is worse than champion version 1"
    with pytest.raises(HooktuneError, match=told):
        hand_over(tracker, require="not-worse")
    keep_figures(tracker, second, 0.1, 0)
    made = hand_over(tracker)
    tags = made.champion.tags
    assert (tags["hooktune.decision"], tags["hooktune.queries"]) == ("better", "100")
    assert tags["hooktune.compared_batch"] == second.batch_id
    assert float(tags["hooktune.low"]) > 0
    assert 0 < float(tags["hooktune.p"]) < 0.05
    assert made.contest.as_row()["low"] == float(tags["hooktune.low"])


def test_the_best_of_many_runs_has_to_show_more(tracker: Tracker):
    best = finish(tracker, 1, 0.022)
    keep_figures(tracker, best, 0.022, 0)
    assert hand_over(tracker, require="better").contest.chosen_from == 1

    other = finish(tracker, 2, 0.022)
    for value in range(1, 8):
        do_run(tracker, tracker.iterations()[-1], value / 1_000, 0.5)
    keep_figures(tracker, other, 0.022, 0)
    with pytest.raises(HooktuneError, match="corrected for the 8 runs it is the best of"):
        hand_over(tracker)


def test_a_run_of_the_same_iteration_is_compared_query_by_query(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    keep_figures(tracker, first, 0.1, 0)
    hand_over(tracker)
    (iteration,) = tracker.iterations()
    second = do_run(tracker, iteration, 0.2, 0.5)
    tracker.finish_iteration(iteration)
    with pytest.raises(HooktuneError, match="not known of each query; --batch DIR"):
        hand_over(tracker, require="better")
    keep_figures(tracker, second, 0.2, 0)
    difference = hand_over(tracker).contest.intervals[SHIFT].difference
    assert difference == pytest.approx(0.1)


@pytest.fixture
def host() -> Host:
    method = Plugin(METHOD, "method", Method(), "some-method", "1.0")
    return Host(method, [Plugin("metrics", "extension", hooktune_metrics)])


class Method:
    """Is never run."""

    @hookimpl
    def upload_initial_model(self, settings):
        raise AssertionError

    @hookimpl
    def fit_batch(self, run, model, batch, params):
        raise AssertionError


def test_models_of_different_iterations_are_measured_on_a_batch(
    tracker: Tracker, host: Host, make_batch
):
    finish(tracker, 1, 0.1)
    hand_over(tracker)
    initial = tracker.initial_run(METHOD)
    pushed = finish(tracker, 2, 5.0, start=initial)
    with pytest.raises(RequestError, match=r"never measured on the same sessions.*--batch DIR"):
        hand_over(tracker)

    batch = open_batch(make_batch())
    asked = []
    made = promote(
        tracker, METHOD, lambda: asked.append(1) or host, batch, force=True, device="cpu"
    )
    contest = made.contest
    assert asked == [1]
    assert contest.sessions == f"all sessions of batch {batch.batch_id}"
    assert contest.present[SHIFT] == pytest.approx(0, abs=1e-6)
    assert contest.candidate[SHIFT] > 0, "one constant added moves all similarities up"
    assert contest.intervals[SHIFT].difference == pytest.approx(contest.candidate[SHIFT])
    is_refused = bool(contest.objections())
    assert made.champion.tags["hooktune.decision"] == ("forced" if is_refused else "better")
    assert made.run.run_id == pushed.run_id


def test_sessions_that_the_method_was_trained_on_are_left_out(
    tracker: Tracker, host: Host, make_batch, monkeypatch: pytest.MonkeyPatch
):
    batch = open_batch(make_batch())
    finish(tracker, int(batch.batch_id, 16), 0.1)
    hand_over(tracker)
    finish(tracker, 2, 0.2, start=tracker.initial_run(METHOD))
    measured = []
    compute = host.compute_metrics
    monkeypatch.setattr(
        host, "compute_metrics", lambda *given: measured.append(len(given[1])) or compute(*given)
    )
    made = promote(tracker, METHOD, lambda: host, batch, force=True, device="cpu")
    held_out = int(held_out_sessions(batch.sessions, 0.2, 0).sum())
    assert measured == [held_out, held_out]
    assert made.contest.sessions == f"the test sessions of batch {batch.batch_id}"


def test_a_model_that_was_tampered_with_is_neither_promoted_nor_served(
    tracker: Tracker, store_uri: str
):
    run = finish(tracker, 1, 0.1)
    folder = next(path for path in model_folders(tracker) if path.name == run.model_id)
    trap = folder / "artifacts" / "model.sentence_transformer" / "pytorch_model.bin"
    trap.write_bytes(pickle.dumps([1]))
    with pytest.raises(UnsafeModelError, match="pytorch_model"):
        hand_over(tracker, force=True)
    assert champion(tracker) is None
    trap.unlink()
    hand_over(tracker)
    trap.write_bytes(pickle.dumps([1]))
    with pytest.raises(UnsafeModelError, match=f"version 1 of {METHOD}"):
        load_champion(METHOD, store_uri)


def test_a_registered_model_of_somebody_else_is_left_alone(tracker: Tracker):
    finish(tracker, 1, 0.1)
    tracker.client.create_registered_model(METHOD)
    with pytest.raises(RequestError, match="that hooktune did not make"):
        hand_over(tracker, force=True)
    assert tracker.client.search_model_versions() == []


def test_without_an_improvement_there_is_nothing_to_promote(tracker: Tracker, store_uri: str):
    with pytest.raises(RequestError, match="has no model yet"):
        hand_over(tracker)
    with pytest.raises(RequestError, match="has no champion"):
        load_champion(METHOD, store_uri)
    begin(tracker)
    with pytest.raises(RequestError, match="has beaten its initial model"):
        hand_over(tracker)
    with pytest.raises(RequestError, match="has no champion"):
        roll_back(tracker, METHOD)
    assert hand_over(tracker, force=True).run.run_id == tracker.initial_run(METHOD).run_id


@pytest.mark.parametrize("method", ["A/B: C@D #1? 100%", "..hidden", "x" * 400, "It's `own`"])
def test_any_method_name_can_have_a_champion(tracker: Tracker, store_uri: str, method: str):
    initial = tracker.upload_initial_model(method, tiny_model(), {})
    made = promote(tracker, method, no_host, force=True)
    name = registered_model_name(method)
    assert made.champion.model == name
    assert (name == method) == (method == "It's `own`")
    assert load_champion(method, store_uri, device="cpu").get_embedding_dimension() == 32
    address = f"models:/{name}@champion"
    client = MlflowClient(store_uri, store_uri)
    assert client.get_model_version_by_alias(name, "champion").run_id == initial.run_id
    parsed = _parse_model_uri(address)
    assert (parsed.name, parsed.alias) == (name, "champion")
