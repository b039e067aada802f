"""Fields of a log that are kept of each search, whatever format it has."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_writers import result_rows, ubi_documents, write_json_lines

from hooktune import (
    CleaningRules,
    DataError,
    RequestError,
    compare_batches,
    merge_batches,
    open_batch,
    read_manifest,
    release_batch,
    sample_batch,
)
from hooktune.cli import cli
from hooktune.contract.log_source import Findings
from hooktune.contract.long_form import LogPart
from hooktune.data import labels as of_labels
from hooktune.data.release import Log, release_log
from hooktune.testing import made_up_log

SESSIONS, ITEMS = made_up_log()
for result in (result for session in SESSIONS for result in session["search_results"]):
    result.pop("rank", None)
MARKETS = ["DE", "Österreich, süd", None]
LABELLED = [
    session | {"market": MARKETS[place % 3], "device": {"mobile": place % 2 == 0, "os": 7}}
    for place, session in enumerate(SESSIONS)
]
STATED = {
    session["session_id"]: {"market": session["market"],
                            "mobile": str(session["device"]["mobile"]).lower()}
    for session in LABELLED
}  # fmt: skip


@pytest.fixture
def items(tmp_path):
    return write_json_lines(tmp_path / "items.jsonl", ITEMS)


def labels_in(folder):
    """For each session of a batch its labels."""
    sessions = open_batch(folder).sessions
    return dict(zip(sessions.session_ids.to_pylist(), sessions.labels.to_pylist(), strict=True))


def write_studio(folder):
    return write_json_lines(folder / "log", LABELLED)


def write_ubi(folder):
    documents = ubi_documents(SESSIONS)
    for document in documents:
        if "user_query" in document:
            stated = STATED[document["query_id"]]
            document["query_attributes"] = {
                "market": stated["market"], "device": {"mobile": stated["mobile"] == "true"}
            }  # fmt: skip
    return write_json_lines(folder / "log", documents)


def rows_with(device):
    return [
        row | {"market": STATED[row["search_id"]]["market"]}
        | device(STATED[row["search_id"]]["mobile"])
        for row in result_rows(SESSIONS)
    ]  # fmt: skip


def write_csv(folder):
    path = folder / "log.csv"
    rows = rows_with(lambda mobile: {"mobile": mobile})
    lines = [",".join(json.dumps("" if value is None else value, ensure_ascii=False)
                      for value in row.values()) for row in rows]  # fmt: skip
    path.write_text("\n".join([",".join(rows[0]), *lines]), encoding="utf-8")
    return path


def write_parquet(folder):
    path = folder / "log.parquet"
    rows = rows_with(lambda mobile: {"device": {"mobile": mobile == "true"}})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    ("write", "columns"),
    [
        (write_studio, {"mobile": "device.mobile"}),
        (write_ubi, {"market": "query_attributes.market",
                     "mobile": "query_attributes.device.mobile"}),
        (write_csv, {}),
        (write_parquet, {"mobile": "device.mobile"}),
    ],
    ids=["studio", "ubi", "csv", "parquet"],
)  # fmt: skip
def test_the_same_labels_give_the_same_batch_whatever_the_format(tmp_path, items, write, columns):
    log = write(tmp_path)
    done = release_batch(
        log, items, tmp_path / "batch", labels=["mobile", "market"], columns=columns
    )
    assert done.batch_id == "67dd45571448e7e5f07639e6"
    assert labels_in(tmp_path / "batch") == STATED
    cleaned = release_batch(
        log, items, tmp_path / "cleaned", labels=["market", "mobile"], columns=columns,
        cleaning=CleaningRules(set_aside_sorted=True),
    )  # fmt: skip
    assert cleaned.batch_id == done.batch_id


def test_without_labels_a_batch_is_as_it_was(tmp_path, items):
    log = write_studio(tmp_path)
    plain = release_batch(log, items, tmp_path / "plain")
    assert plain.batch_id == "6434351ee8cf6dc8cc087e14"
    assert open_batch(tmp_path / "plain").sessions.labels is None
    names = pq.read_schema(tmp_path / "plain" / "sessions.parquet").names
    assert names == ["session_id", "query", "items", "positions", "clicks", "ranks"]


def test_labels_of_events_are_those_of_their_search(tmp_path, items):
    tracked = [
        {"event": "Products Searched", "anonymousId": "u", "properties": {"query": "red"},
         "context": {"locale": "de"}},
        {"event": "Product List Viewed", "anonymousId": "u", "context": {"locale": "fr"},
         "properties": {"products": [{"product_id": ITEMS[0]["object_id"]}]}},
    ]  # fmt: skip
    log = write_json_lines(tmp_path / "log", tracked)
    release_batch(log, items, tmp_path / "batch", labels=["context.locale"])
    assert [*labels_in(tmp_path / "batch").values()] == [{"context.locale": "de"}]
    params = [{"key": key, "value": {"string_value": value}}
              for key, value in (("search_term", "red"), ("market", "AT"))]  # fmt: skip
    visit = {"user_pseudo_id": "u", "geo": {"country": "Austria"}}
    google = [
        visit | {"event_name": "search", "event_params": params},
        visit | {"event_name": "view_item_list", "event_params": [],
                 "items": [{"item_id": ITEMS[0]["object_id"], "index": 0}]},
    ]  # fmt: skip
    log = write_json_lines(tmp_path / "google", google)
    wanted = ["market", "geo.country"]
    release_batch(log, items, tmp_path / "of-google", labels=wanted, format="ga4")
    (found,) = labels_in(tmp_path / "of-google").values()
    assert found == {"geo.country": "Austria", "market": "AT"}


def test_the_first_that_is_stated_counts_of_each_label(tmp_path, items):
    name = ITEMS[0]["object_id"]
    rows = ["s,q,,", f"s,,{name},US", "s,q,,DE", f"t,q,{name},"]
    (tmp_path / "log.csv").write_text("\n".join(["search_id,query,item,mkt", *rows]))
    (tmp_path / "devices.csv").write_text(f"search_id,item,query,os\ns,{name},q,ios\n")
    release_batch(
        [tmp_path / "log.csv", tmp_path / "devices.csv"], items, tmp_path / "batch",
        labels=["market", "os"], columns={"market": "mkt"},
    )  # fmt: skip
    assert labels_in(tmp_path / "batch") == {
        "s": {"market": "US", "os": "ios"}, "t": {"market": None, "os": None}
    }  # fmt: skip


TEXTS = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=["Z", "Cc"]), min_size=1, max_size=4
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(TEXTS, min_size=4, max_size=10), TEXTS.filter(bool), st.integers(0, 9))
def test_labels_stay_with_their_sessions(tmp_path_factory, values, first, seed):
    folder = tmp_path_factory.mktemp("labels")
    items = write_json_lines(folder / "items", ITEMS)
    sessions = [
        session | {"a.b": value} for session, value in zip(SESSIONS, [first, *values], strict=False)
    ]
    expected = {session["session_id"]: {"a.b": session["a.b"]} for session in sessions}
    write_json_lines(folder / "log", sessions)
    release_batch(folder / "log", items, folder / "whole", labels=["a.b"])
    assert labels_in(folder / "whole") == expected
    whole = open_batch(folder / "whole").sessions
    some = whole.take(whole.query_index == whole.query_index[seed % len(whole)])
    taken = dict(zip(some.session_ids.to_pylist(), some.labels["a.b"].to_pylist(), strict=True))
    assert taken == {name: expected[name]["a.b"] for name in taken}
    for place in range(2):
        part = [*sessions[place::2], SESSIONS[20 + place] | {"a.b": "x"}]
        write_json_lines(folder / f"log-{place}", part)
        release_batch(folder / f"log-{place}", items, folder / f"part-{place}", labels=["a.b"])
    merge_batches([folder / "part-0", folder / "part-1"], folder / "merged")
    extra = {SESSIONS[20 + place]["session_id"]: {"a.b": "x"} for place in range(2)}
    assert labels_in(folder / "merged") == expected | extra
    sample_batch(folder / "merged", folder / "sample", 2, seed)
    sample = labels_in(folder / "sample")
    assert sample == {name: (expected | extra)[name] for name in sample}


def test_batches_keep_the_labels_that_all_of_them_have(tmp_path, items):
    log = write_studio(tmp_path)
    device = {"mobile": "device.mobile"}
    release_batch(log, items, tmp_path / "a", labels=["market", "mobile"], columns=device)
    release_batch(log, items, tmp_path / "b", labels=["market"])
    release_batch(log, items, tmp_path / "c")
    merged = merge_batches([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    assert merged.batch_id == read_manifest(tmp_path / "b").batch_id
    assert merge_batches([tmp_path / "a", tmp_path / "c"], tmp_path / "ac").labels == ()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["markt"], "The log states no 'markt'.*Did you mean 'market'?"),
        (["device"], r"line 1: the field 'device' should be a text .* a field in it"),
        (["search_results"], "line 1: the field 'search_results' should be"),
        (["device.osx"], r"states no 'device.osx'.*Did you mean 'device.os'?"),
        (["session_id"], "'session_id' has 40 values in the log.*Leave out --label session_id"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, items, monkeypatch, labels, message):
    monkeypatch.setattr(of_labels, "MOST_VALUES", 39)
    with pytest.raises(DataError, match=message):
        release_batch(write_studio(tmp_path), items, tmp_path / "batch", labels=labels)


def test_a_row_or_a_line_is_named_whose_label_is_none(tmp_path, items):
    path = write_parquet(tmp_path)
    with pytest.raises(DataError, match=r"log.parquet, row 1: the field 'device' should be"):
        release_batch(path, items, tmp_path / "batch", labels=["device"])
    odd = [LABELLED[0], LABELLED[1] | {"market": "x" * 513}, *LABELLED[2:]]
    log = write_json_lines(tmp_path / "log", odd)
    with pytest.raises(DataError, match=r"log, line 2: the field 'market' should be a text of 512"):
        release_batch(log, items, tmp_path / "batch", labels=["market"])
    done = release_batch(log, items, tmp_path / "batch", labels=["market"], tolerate=0.1)
    assert done.counts.sessions == len(SESSIONS) - 1
    with pytest.raises(RequestError, match="'' is no name of a label"):
        release_batch(log, items, tmp_path / "other", labels=[""])


@pytest.mark.parametrize("given", ["DE", '["DE"]', '{"market": 1}', '{"market": ""}'])
def test_a_reader_that_gives_no_labels_is_told(tmp_path, items, given):
    name = ITEMS[0]["object_id"]
    shown = {"search_id": ["s"], "query": ["q"], "item": [name], "labels": [given]}
    log = Log("log", "odd", [LogPart.of("log", shown)], Findings())
    with pytest.raises(DataError, match=r"The reader of the log gave '.*' as the labels"):
        release_log(log, items, tmp_path / "batch", labels=["market"])


def test_the_command_keeps_labels_and_shows_them(tmp_path, items):
    folder = str(tmp_path / "batch")
    run = ["batch", "release", str(write_studio(tmp_path)), "--items", str(items), "--to", folder]
    more = ["--label", "market", "--label", "os", "--column", "os=device.os"]
    done = CliRunner().invoke(cli, [*run, *more])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(cli, ["batch", "show", folder]).output
    assert "labels\n  market: DE 14, Österreich, süd 13\n  os: 7 40\n" in shown


def test_changed_labels_are_found(tmp_path, items):
    folder = tmp_path / "batch"
    release_batch(write_studio(tmp_path), items, folder, labels=["market"])
    path = folder / "sessions.parquet"
    table = pq.read_table(path)
    for values in (["DE"] * len(table), [""] * len(table), [*table["label.market"][1:], None]):
        changed = table.set_column(
            len(table.column_names) - 1, "label.market", pa.array(values, pa.string())
        )
        path.chmod(0o644)
        pq.write_table(changed, path)
        with pytest.raises(DataError, match="was changed after its release"):
            open_batch(folder)


def test_the_values_are_told_whose_share_shifted(tmp_path, items):
    for name, rare in (("first", 4), ("second", 2)):
        sessions = [
            SESSIONS[place % 40]
            | {"session_id": f"{place}", "site": "new" if place % rare else "old"}
            for place in range(400)
        ]
        log = write_json_lines(tmp_path / "log", sessions)
        release_batch(log, items, tmp_path / name, labels=["site"])
    found = compare_batches(tmp_path / "first", tmp_path / "second")
    assert [(each.of, each.first, each.second) for each in found.label_shares] == [
        ("site is new", 0.75, 0.5), ("site is old", 0.25, 0.5)
    ]  # fmt: skip
    assert "labels whose share of the sessions shifted most" in found.in_words
    release_batch(log, items, tmp_path / "bare")
    assert compare_batches(tmp_path / "first", tmp_path / "bare").label_shares == ()


def test_a_manifest_that_names_other_labels_is_refused(tmp_path, items):
    folder = tmp_path / "batch"
    release_batch(write_studio(tmp_path), items, folder, labels=["market"])
    path = folder / "manifest.json"
    path.chmod(0o644)
    manifest = json.loads(path.read_text("utf-8"))
    (label,) = manifest["labels"]
    for labels, message in (
        ([label, label], "two of its labels have one name"),
        ([label, label | {"name": "device"}], "has other columns than a released batch"),
        ([label | {"values": 3}], "its content is not that of the batch"),
    ):
        path.write_text(json.dumps(manifest | {"labels": labels}), encoding="utf-8")
        with pytest.raises(DataError, match=message):
            open_batch(folder)
