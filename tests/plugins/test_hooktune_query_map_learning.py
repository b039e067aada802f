from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_run import RecordingRun
from torch.nn.functional import normalize

from hooktune.contract.sessions import Sessions
from hooktune.testing import made_up_sessions
from hooktune_default.targets import ClickTargets, click_targets
from hooktune_query_map.losses import (
    CANDIDATES,
    Evidence,
    Sought,
    collection_loss,
    enriched,
    mapped,
    shown_loss,
)
from hooktune_query_map.params import Params
from hooktune_query_map.tuning import learn_map
from hooktune_query_map.validation import (
    FIXED_STEP,
    STEPS,
    HeldOut,
    cross_validate,
    weighted_ndcg,
)


def sessions_of(*shown: tuple[int, list[int], list[int]], items: int = 10) -> Sessions:
    """Sessions, each a query, the items shown for it, and the clicks on them."""
    queries = 1 + max(query for query, _, _ in shown)
    lengths = [len(clicks) for _, _, clicks in shown]
    return Sessions(
        queries=pa.array([f"query {place}" for place in range(queries)], pa.large_string()),
        items=pa.array([f"item {place}" for place in range(items)], pa.large_string()),
        session_ids=pa.array([f"s{place}" for place in range(len(shown))], pa.large_string()),
        query_index=np.array([query for query, _, _ in shown]),
        offsets=np.cumsum([0, *lengths]),
        item_index=np.array([item for _, places, _ in shown for item in places]),
        clicks=np.array([number for _, _, clicks in shown for number in clicks]),
        rank=np.full(sum(lengths), np.nan, dtype=np.float32),
    )


def shares_of(sessions: Sessions) -> dict[tuple[int, int], float]:
    targets = click_targets(sessions)
    query = np.repeat(targets.query_index, np.diff(targets.offsets))
    return {
        (int(one), int(item)): float(share)
        for one, item, share in zip(query, targets.item_index, targets.shares, strict=True)
    }


def test_a_query_s_clicks_are_added_up_over_its_sessions():
    shares = shares_of(sessions_of((0, [1, 2], [1, 0]), (0, [2, 1], [0, 1]), (1, [3], [0])))
    # Query 1 has no click and so no target; of query 0 item 1 alone was clicked.
    assert shares == {(0, 1): 1.0, (0, 2): 0.0}


def test_shares_are_the_rates_above_what_position_makes_expected():
    sessions = sessions_of((0, [1, 2, 3], [1, 1, 0]), (0, [1, 2, 3], [1, 0, 0]))
    # 3 clicks over 2 x (1 + 2^-.5 + 3^-.5) expected looks; one impression of prior.
    rate = 3 / (2 * (1 + 2**-0.5 + 3**-0.5))
    surplus = [(2 + rate) / 3 - rate, max((1 + rate) / 3 - rate, 0)]
    shares = shares_of(sessions)
    assert shares[0, 1] == pytest.approx(surplus[0] / sum(surplus))
    assert shares[0, 2] == pytest.approx(surplus[1] / sum(surplus))
    assert shares[0, 3] == 0


def test_where_no_rate_is_above_the_expected_the_clicks_are_the_target():
    # All is clicked at the first position, so that one click of two is below what was expected.
    many = [(1, [place], [1]) for place in range(9)]
    shares = shares_of(sessions_of((0, [1, 2], [1, 1]), (0, [1, 2], [0, 0]), *many))
    assert (shares[0, 1], shares[0, 2]) == (0.5, 0.5)


some_sessions = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True),
        st.integers(0, 63),
    ).map(
        lambda drawn: (
            drawn[0],
            drawn[1],
            [drawn[2] >> place & 1 for place in range(len(drawn[1]))],
        )
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(log=some_sessions, seed=st.integers(0, 99))
def test_shares_add_up_to_one_over_clicked_items_whatever_the_order_of_sessions(log, seed):
    targets = click_targets(sessions_of(*log))
    clicked = {
        (query, item)
        for query, shown, clicks in log
        for item, click in zip(shown, clicks, strict=True)
        if click
    }
    assert set(targets.query_index.tolist()) == {query for query, _ in clicked}
    shares = shares_of(sessions_of(*log))
    for query in {query for query, _ in clicked}:
        of_query = {item: share for (one, item), share in shares.items() if one == query}
        assert sum(of_query.values()) == pytest.approx(1, abs=1e-5)
        assert {item for item, share in of_query.items() if share > 0} <= {
            item for one, item in clicked if one == query
        }
        assert set(of_query) == {item for one, shown, _ in log if one == query for item in shown}
    shuffled = [log[place] for place in np.random.default_rng(seed).permutation(len(log))]
    padded = [*shuffled, (4, [0], [0])]  # so that both have the same queries
    assert shares_of(sessions_of(*padded)) == shares_of(sessions_of(*log, (4, [0], [0])))


@settings(max_examples=50, deadline=None)
@given(log=some_sessions, data=st.data())
def test_targets_of_some_queries_are_the_same_as_among_all(log, data):
    targets = click_targets(sessions_of(*log))
    places = np.array(data.draw(st.lists(st.integers(0, 4), unique=True)), dtype=np.int64)
    places = places[places < len(targets)]
    some = targets.take(places)
    assert len(some) == len(places)
    for new, old in enumerate(places):
        one, two = slice(*some.offsets[new : new + 2]), slice(*targets.offsets[old : old + 2])
        assert np.array_equal(some.item_index[one], targets.item_index[two])
        assert np.array_equal(some.shares[one], targets.shares[two])


def turning(dimensions, angle=0.6):
    rotation = torch.eye(dimensions)
    for place in range(0, dimensions, 2):
        cos, sin = np.cos(angle), np.sin(angle)
        rotation[place : place + 2, place : place + 2] = torch.tensor([[cos, sin], [-sin, cos]])
    return rotation


def made_evidence(queries=200, items=300, dimensions=16, sessions=2, seed=0, turned=0.6):
    """What people click is what their query, turned in each plane by an angle, is most like."""
    random = np.random.default_rng(seed)
    rotation = turning(dimensions, turned)
    q, d = (
        normalize(torch.from_numpy(random.standard_normal((n, dimensions))).float(), dim=1)
        for n in (queries, items)
    )
    truth = (q @ rotation @ d.T).numpy()
    log = []
    for query in range(queries):
        for _ in range(sessions):
            # What both the untuned and the true similarity find, and some others.
            near = [np.argsort(-each)[:5] for each in ((q @ d.T)[query].numpy(), truth[query])]
            shown = np.unique(np.concatenate([*near, random.integers(items, size=6)]))
            shown = random.permutation(shown)
            best = np.argsort(-truth[query, shown])[:2]
            log.append(
                (query, shown.tolist(), np.isin(np.arange(len(shown)), best).astype(int).tolist())
            )
    all_sessions = sessions_of(*log, items=items)
    targets = click_targets(all_sessions)
    return Evidence(q, d, targets, all_sessions), truth


def silent(seed=0, **options):
    return RecordingRun(made_up_sessions(), np.zeros(0), seed=seed, **options)


def recall(similarities, truth):
    """How often what is truly best is among the first five."""
    best = truth.argmax(axis=1)
    return float((np.argsort(-similarities, axis=1)[:, :5] == best[:, None]).any(axis=1).mean())


def test_the_map_learns_a_rotation_and_holds_for_queries_it_has_not_seen():
    evidence, truth = made_evidence(queries=300)
    known, unknown = np.arange(200), np.arange(200, 300)
    params = Params(step=1, epochs=200)
    learned = learn_map(silent(), evidence.take(known), torch.zeros(16, 16), params)
    before = (evidence.queries @ evidence.items.T).numpy()
    after = (mapped(evidence.queries, learned.weight) @ evidence.items.T).numpy()
    rise = recall(after[unknown], truth[unknown]) - recall(before[unknown], truth[unknown])
    assert rise > 0.1


def test_the_same_seed_gives_the_same_map_and_another_one_a_like_one():
    evidence, _ = made_evidence(queries=60)
    weights = [
        learn_map(silent(seed), evidence, torch.zeros(16, 16), Params(step=1)).weight
        for seed in (3, 3, 4)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.allclose(weights[0], weights[2], atol=0.05)


def test_fewer_queries_are_held_nearer_to_the_identity():
    sizes = {}
    for count in (40, 200):
        evidence, _ = made_evidence(queries=count)
        learned = learn_map(silent(), evidence, torch.zeros(16, 16), Params(step=1, epochs=200))
        sizes[count] = float(learned.weight.norm())
    assert sizes[40] < sizes[200]


def test_drawn_candidates_stand_for_all_items():
    evidence, _ = made_evidence(queries=8, items=3 * CANDIDATES, dimensions=8)
    losses = [
        float(
            collection_loss(evidence, np.arange(8), evidence.queries, np.random.default_rng(seed))
        )
        for seed in range(20)
    ]
    t = torch.zeros(8, 3 * CANDIDATES)
    row = np.repeat(np.arange(8), np.diff(evidence.targets.offsets))
    t[row, evidence.targets.item_index] = torch.from_numpy(evidence.targets.shares)
    similarity = evidence.queries @ evidence.items.T
    exactly = -(t * (similarity / 0.1).log_softmax(dim=1)).sum(1) + 1 - (t * similarity).sum(1)
    assert np.mean(losses) == pytest.approx(float(exactly.mean()), abs=0.01)


def test_the_shown_softmax_equals_one_over_each_query_s_own_results():
    evidence, _ = made_evidence(queries=5, items=40)
    losses = []
    for query in (3, 0):
        entries = evidence.targets.entries(np.array([query]))
        items = evidence.items[evidence.targets.item_index[entries]]
        logits = (items @ evidence.queries[query]) / 0.05
        shares = torch.from_numpy(evidence.targets.shares[entries])
        losses.append(float(-(shares * logits.log_softmax(dim=0)).sum()))
    loss = shown_loss(evidence, np.array([3, 0]), evidence.queries[[3, 0]])
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-4)


def test_enriched_queries_lean_towards_what_was_clicked_for_them():
    evidence, _ = made_evidence(queries=6, items=40)
    queries = np.array([5, 0, 3])
    for seed in range(20):
        rich = enriched(evidence, queries, np.random.default_rng(seed))
        assert torch.allclose(rich.norm(dim=1), torch.ones(3), atol=1e-5)
        for row, query in enumerate(queries):
            entries = evidence.targets.entries(np.array([query]))
            entries = entries[evidence.targets.shares[entries] > 0]
            items = evidence.items[evidence.targets.item_index[entries]]
            # What is left without the query's own direction points to one of the clicked items.
            plain = evidence.queries[query]
            leaning = rich[row] - (rich[row] @ plain) * plain
            across = items - (items @ plain)[:, None] * plain
            cosines = normalize(across, dim=1) @ normalize(leaning, dim=0)
            assert float(cosines.max()) > 0.99
            assert float(rich[row] @ plain) > 0.5


def test_first_sentences_find_their_items_sooner_under_a_map_that_learned_from_them_too():
    evidence, _ = made_evidence(queries=150, dimensions=32)
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((300, 32))).float()
    # The items, turned as the queries are, and as much of something else.
    begin = normalize(evidence.items @ turning(32).T + normalize(noise, dim=1), dim=1)
    each, shares = np.arange(300), np.ones(300, dtype=np.float32)
    openings = Sought(begin, evidence.items, ClickTargets(each, np.arange(301), each, shares))
    ranks = []
    for known in (None, openings):
        learned = learn_map(
            silent(), replace(evidence, openings=known), torch.zeros(32, 32), Params(step=1)
        )
        similarities = mapped(begin, learned.weight) @ evidence.items.T
        ranks.append(float((similarities > similarities.diagonal()[:, None]).sum(dim=1).sum()))
    assert ranks[1] < 0.9 * ranks[0]


def test_few_queries_are_enough_where_held_out_ones_gain_clearly():
    evidence, _ = made_evidence(queries=28, items=60, dimensions=4, sessions=6)
    learned = learn_map(silent(), evidence, torch.zeros(4, 4), Params())
    assert learned.weight is not None


def test_cross_validation_scores_each_query_by_maps_that_do_not_know_it():
    evidence, _ = made_evidence(queries=12)
    known = []

    def fit(part):
        known.append(set(part.targets.query_index.tolist()))
        assert set(part.sessions.query_index.tolist()) == known[-1]
        return torch.zeros(16, 16)

    held_out = cross_validate(evidence, torch.zeros(16, 16), fit, seed=0)
    assert sorted(query for part in known for query in set(range(12)) - part) == [*range(12)]
    assert len(held_out.sessions) == len(evidence.sessions)
    # A map that does nothing gains nothing, whatever the step, and no step is better than another.
    assert held_out.best_step() == FIXED_STEP
    assert not held_out.gains_clearly(0.75)


def test_a_step_other_than_the_fixed_one_is_taken_where_it_is_clearly_better():
    log = sessions_of(*[(query, [0, 1, 2, 3], [0, 0, 1, 0]) for query in range(20)])
    right, wrong = np.tile([0.1, 0.2, 0.9, 0.3], 20), np.tile([0.1, 0.2, 0.0, 0.3], 20)
    harmful = HeldOut(log, right, dict.fromkeys(STEPS, wrong))
    assert harmful.best_step() == 0
    assert not harmful.gains_clearly(0.75)
    useful = HeldOut(log, wrong, dict.fromkeys(STEPS, wrong) | {1.0: right})
    assert useful.best_step() == 1
    assert useful.gains_clearly(1)
    assert not useful.gains_clearly(0.5)


def test_a_click_counts_by_how_rarely_its_position_is_looked_at():
    log = sessions_of((0, [0, 1, 2, 3], [1, 0, 0, 1]))
    # Position 4 counts twice as much as position 1, so that the best order begins with it.
    best = 2 + 1 / np.log2(3)
    assert weighted_ndcg(log, np.array([0.8, 0.2, 0.1, 0.9])) == pytest.approx(1)
    swapped = weighted_ndcg(log, np.array([0.9, 0.2, 0.1, 0.8]))
    assert swapped == pytest.approx((1 + 2 / np.log2(3)) / best)


def test_with_enough_queries_the_step_follows_from_held_out_clicks():
    evidence, _ = made_evidence(queries=120)
    learned = learn_map(silent(), evidence, torch.zeros(16, 16), Params())
    assert learned.weight is not None
    assert learned.taken in (0.25, 0.5, 0.75, 1.0)
