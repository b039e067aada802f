"""Times and users of sessions, kept where that is asked for."""

import numpy as np
import pytest
from click.testing import CliRunner
from log_writers import write_json_lines

from hooktune import DataError, merge_batches, open_batch, read_manifest, release_batch
from hooktune.cli import cli
from hooktune.testing import made_up_log


@pytest.fixture
def items(tmp_path):
    return write_json_lines(
        tmp_path / "items.jsonl", ({"object_id": name, "text": name} for name in "ab")
    )


@pytest.fixture
def log(tmp_path):
    rows = [
        f"s{n},q{n % 3},{item},{place},{n % 2},{user},{1700000000 + n}"
        for n, user in enumerate(["ann", "ben", "", "ann"])
        for place, item in enumerate("ab", start=1)
    ]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["search_id,query,item,position,clicks,user,time", *rows]))
    return path


def test_times_and_users_are_kept_and_part_of_the_batch(tmp_path, log, items):
    plain = release_batch(log, items, tmp_path / "plain")
    kept = release_batch(log, items, tmp_path / "kept", keep=["times", "users"])
    assert (plain.columns, kept.columns) == ((), ("times", "users"))
    assert plain.batch_id != kept.batch_id
    sessions = open_batch(tmp_path / "kept").sessions
    assert sessions.times.tolist() == [(1700000000 + n) * 1_000_000 for n in range(4)]
    ann, ben, unknown, again = sessions.users.tolist()
    assert (ann, unknown) == (again, -1)
    assert len({ann, ben, unknown}) == 3
    assert open_batch(tmp_path / "plain").sessions.times is None
    assert b"ann" not in (tmp_path / "kept" / "sessions.parquet").read_bytes()


def test_a_user_has_one_number_in_all_batches_so_that_they_can_be_merged(tmp_path, log, items):
    lines = log.read_text().splitlines()
    parts = []
    for place in range(2):
        part = tmp_path / f"part-{place}.csv"
        part.write_text("\n".join([lines[0], *lines[1 + 4 * place : 5 + 4 * place]]))
        release_batch(part, items, tmp_path / f"part-{place}", keep=["users"])
        parts.append(tmp_path / f"part-{place}")
    merged = merge_batches(parts, tmp_path / "merged")
    assert merged.batch_id == release_batch(log, items, tmp_path / "all", keep=["users"]).batch_id
    release_batch(log, items, tmp_path / "plain")
    mixed = merge_batches([tmp_path / "plain", tmp_path / "part-0"], tmp_path / "mixed")
    assert mixed.columns == ()


def test_what_a_log_does_not_state_cannot_be_kept(tmp_path):
    for name, rows in zip(("log", "items"), made_up_log(), strict=True):
        write_json_lines(tmp_path / name, rows)
    with pytest.raises(DataError, match=r"The log states no times.*Leave out --keep times"):
        release_batch(tmp_path / "log", tmp_path / "items", tmp_path / "batch", keep=["times"])


def studio_lines(*stated):
    """The sessions of the log in Embedding Studio's format, each with fields of its own."""
    return [
        {
            "session_id": f"s{n}", "search_query": f"q{n % 3}",
            "search_results": [{"object_id": "a"}, {"object_id": "b"}],
            "events": [{"object_id": name} for name in "ab" if n % 2],
        } | more
        for n, more in enumerate(stated)
    ]  # fmt: skip


def test_sessions_of_embedding_studio_state_them_too(tmp_path, log, items):
    lines = studio_lines(
        {"created_at": 1700000000, "user_id": "ann"},
        {"created_at": "2023-11-14T22:13:21Z", "user_id": "ben"},
        {"created_at": 1700000002000, "user_id": None},
        {"created_at": 1700000003.0, "user_id": "ann"},
    )
    studio = write_json_lines(tmp_path / "log.jsonl", lines)
    keep = ["times", "users"]
    by_row = release_batch(log, items, tmp_path / "by-row", keep=keep)
    assert release_batch(studio, items, tmp_path / "studio", keep=keep).batch_id == by_row.batch_id


@pytest.mark.parametrize("odd", [True, "soon", {"$date": 17}, [17], "", 10**40, 0.5 + 1e17])
def test_what_is_no_time_and_no_user_refuses_no_session(tmp_path, items, odd):
    lines = studio_lines({"created_at": odd, "user_id": {}}, {"user_id": 0.5}, {"user_id": ""})
    log = write_json_lines(tmp_path / "log.jsonl", lines)
    release_batch(log, items, tmp_path / "batch")
    assert len(open_batch(tmp_path / "batch").sessions) == 3
    for what in ("times", "users"):
        with pytest.raises(DataError, match=f"The log states no {what}"):
            release_batch(log, items, tmp_path / what, keep=[what])


def test_the_command_keeps_them(tmp_path, log, items):
    run = ["batch", "release", str(log), "--items", str(items), "--to", str(tmp_path / "batch")]
    done = CliRunner().invoke(cli, [*run, "--keep", "users"])
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "batch").columns == ("users",)
    assert np.array_equal(open_batch(tmp_path / "batch").sessions.users < 0, [0, 0, 1, 0])
