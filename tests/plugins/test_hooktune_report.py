"""The bundled sections of a report."""

from dataclasses import replace

from made_report import NDCG, SHIFT, made_facts

import hooktune_report
from hooktune import Chart, MetricChange, Paragraph, ReportFacts, Table, interval_chart


def sections(report: ReportFacts) -> dict:
    return {section.title: section.parts for section in hooktune_report.report_sections(report)}


def tables(parts) -> list[Table]:
    found = [part.table if isinstance(part, Chart) else part for part in parts]
    return [part for part in found if isinstance(part, Table)]


def without_movement(run) -> dict:
    return {name: value for name, value in run.items() if not name.startswith("test_moved_")}


def test_a_whole_run_has_all_sections():
    assert list(sections(made_facts())) == [
        "What to mind",
        "Before and after",
        "Queries",
        "For which queries",
        "Queries that won and lost most",
        "What moved",
        "Similarities of shown results",
        "Learning curves",
        "Runs and hyper-parameters",
        "How it was made",
    ]


def test_a_run_of_an_earlier_version_is_told_without_what_it_kept_not():
    facts = made_facts()
    changes = {name: replace(change, interval=None) for name, change in facts.changes.items()}
    bare = replace(
        facts, run=without_movement(facts.run), changes=changes, queries=None, slices=(),
        examples=(), similarities=None, warnings=(), runs=facts.runs[:1], histories={},
    )  # fmt: skip
    assert list(sections(bare)) == ["Before and after", "How it was made"]
    (table,) = tables(sections(bare)["Before and after"])
    assert table.rows[0][:6] == (SHIFT, 0.0, 0.05, 0.05, None, None)


def test_metrics_are_told_with_their_intervals_and_directions():
    drawn, table = tables(sections(made_facts())["Before and after"])
    by_name = {row[0]: row for row in table.rows}
    assert by_name[NDCG][1:8] == (0.6, 0.62, 0.02, -0.01, 0.05, 0.2, None)
    assert by_name["test_loss"][7] == "less"
    held_out = replace(made_facts(), changes={"holdout_loss": MetricChange(0.4, 0.3)})
    (table,) = tables(sections(held_out)["Before and after"])
    assert table.rows[0][7] == "less"
    assert [row[0] for row in drawn.rows] == [SHIFT, NDCG]


def test_queries_are_counted_by_what_became_of_their_ranking():
    facts = made_facts(queries=300)
    change = facts.queries[f"{NDCG}.after"] - facts.queries[f"{NDCG}.before"]
    better, worse = (change > 0.01).sum(), (change < -0.01).sum()
    summary, chart = sections(facts)["Queries"]
    assert isinstance(summary, Paragraph)
    assert f"{better} rank" in summary.text
    assert f"{worse} worse" in summary.text
    assert sum(row[2] for row in chart.table.rows) == better + worse


def test_parts_of_the_queries_are_told_with_what_became_of_them():
    text, chart = sections(made_facts())["For which queries"]
    assert "corrected" in text.text
    assert [(row[0], row[-1]) for row in chart.table.rows] == [
        ("of 1 word", "worse"), ("of 2 to 9 words", "unknown"),
    ]  # fmt: skip


def test_it_is_told_whether_the_index_has_to_be_built_anew():
    facts = made_facts()
    index, results, table = sections(facts)["What moved"]
    assert "must be encoded by this model" in index.text
    assert "3.1 on average are others" in results.text
    assert ("test_moved_top_10", 0.31, None) in table.rows
    of_queries = replace(facts, run={**facts.run, "test_moved_items_p95": 2e-7})
    assert "can stay" in sections(of_queries)["What moved"][0].text


def test_examples_show_results_in_their_new_order_with_the_old_ranks():
    won, lost = tables(sections(made_facts())["Queries that won and lost most"])
    assert won.rows == ((1, 2, "clicked", "red shoes"), (2, 1, None, "boots"))
    assert "0.400 before, 0.900 after" in won.caption
    assert lost.caption.startswith("hats")


def test_only_hyper_parameters_that_vary_are_shown():
    table = tables(sections(made_facts())["Runs and hyper-parameters"])[0]
    assert table.columns == ("run", "status", "learning_rate", SHIFT)


def test_a_chart_has_a_scale_of_intervals_only_where_one_is_known():
    def fields(low: float | None) -> list[str]:
        rows = (("a", 0.1, low, 0.2), ("b", 0.1, None, None))
        chart = interval_chart(Table("", ("what", "change", "low", "high"), rows))
        return [layer["encoding"]["x"].get("field") for layer in chart.spec["layer"]]

    assert fields(0.05) == [None, "low", "change"]
    assert fields(None) == fields(float("nan")) == [None, "change"]
