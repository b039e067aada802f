"""In what batches differ, and when one does not look like the last."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from log_writers import write_json_lines

from hooktune import compare_batches, open_batch, release_batch
from hooktune.cli import cli
from hooktune.data.summary import BatchSummary, differences, share_in_common, summary_of


@pytest.fixture
def release(tmp_path):
    """Releases 400 sessions that show items and have clicks on the position that is named."""

    def make(name, click_of=lambda n: n % 2 + 1, query_of=lambda n: f"q{n % 9}", items="abcd"):
        results = [{"object_id": item} for item in items]
        sessions = (
            {
                "session_id": f"{name}-{n}",
                "search_query": query_of(n),
                "search_results": results,
                "events": [{"object_id": items[click_of(n) - 1]}] if click_of(n) else [],
            }
            for n in range(400)
        )
        log = write_json_lines(tmp_path / f"{name}.jsonl", sessions)
        catalogue = write_json_lines(
            tmp_path / f"{name}-items.jsonl",
            ({"object_id": item, "text": f"{item}{items}"[: 1 + (item == "a")]} for item in items),
        )
        release_batch(log, catalogue, tmp_path / name)
        return tmp_path / name

    return make


def looks(first, second):
    return differences(summary_of(open_batch(first)), summary_of(open_batch(second)))


def test_two_weeks_of_one_log_look_alike(release):
    first, second = release("first"), release("second", lambda n: (n + 1) % 2 + 1)
    found = compare_batches(first, second)
    assert found.looks_different == looks(first, second) == ()
    assert found.sessions == (400, 400)
    assert found.queries.model_dump() == {
        "only_first": 0, "both": 9, "only_second": 0, "changed": None
    }  # fmt: skip
    assert found.sessions_with_click.z == 0
    assert [shift.first for shift in found.positions] == [0.5, 0.5, 0, 0]
    assert found.query_shares == ()


def test_other_rates_of_clicks_are_told(release):
    first, second = release("first"), release("second", lambda n: n % 8 == 0)
    found = compare_batches(first, second)
    assert found.looks_different == (
        "sessions with a click: 100.0% before, 12.5% now",
        "results that are clicked: 50.0% before, 12.5% now at position 1; "
        "50.0% before, 0.0% now at position 2",
    )
    assert found.positions[1].z < -10


def test_other_queries_items_and_lengths_are_told(release):
    first = release("first")
    second = release("second", query_of=lambda n: f"other {n % 9}", items="wxyzuv")
    found = compare_batches(first, second)
    assert found.looks_different == (
        "results shown in a session: 4.0 before, 6.0 now",
        "queries: hardly any is in both",
        "items: hardly any is in both",
    )
    assert (found.queries.only_first, found.queries.both, found.new_query_share) == (9, 0, 1.0)


def test_queries_that_became_frequent_and_changed_items_are_told(release):
    first = release("first")
    second = release("second", query_of=lambda n: "Q0 " if n % 2 else f"q{n % 9}", items="abcde")
    found = compare_batches(first, second)
    assert [shift.of for shift in found.query_shares][:1] == ["q0"]
    assert found.query_shares[0].second > 0.5
    assert found.items.model_dump() == {
        "only_first": 0, "both": 4, "only_second": 1, "changed": 0
    }  # fmt: skip


def test_the_command_shows_it_in_words(release):
    folders = [str(release("first")), str(release("second", lambda n: n % 8 == 0))]
    shown = CliRunner().invoke(cli, ["batch", "diff", *folders]).stdout
    assert "sessions with click  100.00% -> 12.50%" in shown
    assert "! sessions with a click: 100.0% before, 12.5% now" in shown


def test_a_summary_is_read_again_or_was_edited(release):
    summary = summary_of(open_batch(release("first")))
    assert BatchSummary.from_text(summary.model_dump_json()) == summary
    assert BatchSummary.from_text("{}") is None


@given(st.sets(st.integers(0, 2**40), max_size=100), st.sets(st.integers(0, 2**40), max_size=100))
def test_of_few_things_the_share_in_common_is_exact(first, second):
    union = first | second
    if 0 < len(union) <= 100:
        told = share_in_common(tuple(sorted(first)), tuple(sorted(second)))
        smaller = sorted(union)[: max(len(first), len(second))]
        assert told == len({*smaller} & first & second) / len(smaller)
