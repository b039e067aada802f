"""How records show themselves: in a line, in a notebook, and as a data frame."""

from dataclasses import dataclass
from typing import Any

from hooktune import Listing
from hooktune.contract.listing import Record


@dataclass(frozen=True, repr=False)
class Fruit(Record):
    name: str
    weight: float | None = None


class Spread(Fruit):
    def as_row(self) -> dict[str, Any]:
        return {"name": self.name, "sweetness": 0.25}


FRUITS = Listing([Fruit("apple", 0.123456), Spread("jam")])


def test_a_record_shows_itself_in_a_line():
    assert repr(FRUITS[0]) == "<Fruit name='apple', weight=0.1235>"
    assert repr(Fruit("pear")) == "<Fruit name='pear'>", "what is missing is left out"
    assert "\x1b" not in repr(Fruit("\x1b[31m" + "x" * 500))
    assert len(repr(Fruit("x" * 500))) < 200


def test_a_listing_is_a_tuple_and_a_table():
    assert FRUITS[:1] == (Fruit("apple", 0.123456),)
    assert repr(FRUITS).splitlines() == [repr(FRUITS[0]), repr(FRUITS[1])]
    assert repr(Listing([])) == "<nothing>"
    frame = FRUITS.to_pandas()
    assert list(frame.columns) == ["name", "weight", "sweetness"]
    assert list(frame.name) == ["apple", "jam"]
    assert frame.weight.isna().tolist() == [False, True]


def test_a_notebook_shows_tables_in_which_texts_are_only_texts():
    assert FRUITS._repr_html_() == (
        "<table><thead><tr><th>name</th><th>weight</th><th>sweetness</th></tr></thead><tbody>"
        "<tr><td>apple</td><td>0.1235</td><td></td></tr>"
        "<tr><td>jam</td><td></td><td>0.2500</td></tr></tbody></table>"
    )
    hostile = Fruit("<script>alert(1)</script>")
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in hostile._repr_html_()
    assert "<script>" not in Listing([hostile])._repr_html_()
