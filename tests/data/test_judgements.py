"""Files of judgements: their forms, and what is wrong with them."""

from pathlib import Path

import pytest

from hooktune.data.judgements import read_judgements
from hooktune.errors import DataError

GRADES = {"red shoes": {"7": 2.0, "9": 0.0}, "hat": {"7": 1.0}}


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qrels.tsv", "red shoes\t0\t7\t2\nred shoes\t0\t9\t0\n\nhat\t0\t7\t1\n"),
        ("some.txt", "red shoes\t7\t2\r\nred shoes\t9\t0\r\nhat\t7\t1\r\n"),
        ("some.tsv", "query\tobject_id\tgrade\nhat\t7\t1\nred shoes\t9\t0\nred shoes\t7\t2\n"),
        (
            "some.csv",
            '\ufeffgrade,by,query,object_id\n2,me,"red shoes",7\n0,,red shoes,9\n1,,hat,7\n',
        ),
        (
            "some.jsonl",
            '{"query": "red shoes", "object_id": "7", "grade": 2}\n'
            '{"query": "red shoes", "object_id": 9, "grade": 0}\n'
            '{"query": "hat", "object_id": "7", "grade": 1.0, "by": "me"}\n',
        ),
    ],
)
def test_each_form_holds_the_same_judgements(tmp_path: Path, name: str, text: str):
    found = read_judgements(written(tmp_path, name, text))
    assert found.grades == GRADES
    assert len(found.digest) == 24
    assert found.is_qrels == (name == "qrels.tsv")


def test_the_digest_follows_from_the_grades_alone(tmp_path: Path):
    first = read_judgements(written(tmp_path, "a.qrels", "hat 0 7 1\nhat 0 8 2\n"))
    second = read_judgements(written(tmp_path, "b.tsv", "hat\t8\t2\nhat\t7\t1\nhat\t7\t1\n"))
    other = read_judgements(written(tmp_path, "c.tsv", "hat\t8\t2\nhat\t7\t2\n"))
    assert first.digest == second.digest != other.digest


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.qrels", "hat 0 7 1\nhat 0 8\n", "line 2: 3 fields, and not 4"),
        ("a.tsv", "hat\t7\n", "line 1: 2 fields, and not 3 or 4"),
        ("a.tsv", "hat\t7\tgood\n", "line 1: the grade 'good' is no number"),
        ("a.tsv", "hat\t7\tnan\n", "line 1: the grade 'nan' is no number"),
        ("a.tsv", "hat\t7\t1\n \t7\t1\n", "line 2: the query is empty"),
        ("a.tsv", "hat\t7\t1\nhat\t7\t2\n", "line 2: the item '7' has another grade .* on line 1"),
        ("a.tsv", "\n", "holds no judgement"),
        ("a.csv", "query,object,grade\nhat,7,1\n", "line 1: the column 'object_id' is missing"),
        ("a.csv", "query,object_id,grade\nhat,7\n", "line 2: the grade '' is no number"),
        ("a.jsonl", '{"query": "hat"}\n', "line 1: the field 'object_id' is missing"),
        ("a.jsonl", "[1]\n", "line 1: each line should be one JSON object"),
        ("a.jsonl", "{\n", "line 1: not JSON"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, name: str, text: str, problem: str):
    file = written(tmp_path, name, text)
    with pytest.raises(DataError, match=problem) as failure:
        read_judgements(file)
    assert str(failure.value).startswith(str(file))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such file"):
        read_judgements(tmp_path / "missing")
    with pytest.raises(DataError, match="is a folder"):
        read_judgements(tmp_path)
    (tmp_path / "latin").write_bytes(b"h\xe4t\t7\t1\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_judgements(tmp_path / "latin")
