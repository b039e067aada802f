"""Items and queries that are images: read from where they lie, checked, and part of the batch."""

import base64
import contextlib
import functools
import http.server
import io
import json
import struct
import threading
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from log_writers import write_json_lines
from pictures import picture, session
from PIL import Image

from hooktune import (
    DataError,
    image_text,
    is_image,
    load_image,
    merge_batches,
    open_batch,
    read_manifest,
    release_batch,
    sample_batch,
)
from hooktune.cli import cli
from hooktune.data import assembly
from hooktune.data.image_fields import stated_image

CIRCLE, SQUARE = picture("red", "circle"), picture("blue", "square", kind="JPEG")
GIF = picture("green", "triangle", kind="GIF")


@pytest.fixture
def log(tmp_path):
    sessions = [
        session(1, "red circle", ["7", "9"], ["7"]), session(2, "a word", ["9", "11"], ["11"])
    ]  # fmt: skip
    return write_json_lines(tmp_path / "log.jsonl", sessions)


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "circle.png").write_bytes(CIRCLE)
    (tmp_path / "shop" / "square.jpg").write_bytes(SQUARE)
    return tmp_path / "shop"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture
def web(shop):
    """The address at which the pictures of the shop are served."""
    handler = functools.partial(Quiet, directory=shop)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def rows(*images):
    return [
        {"object_id": name, "image": image, "text": "a text"}
        for name, image in zip(("7", "9", "11"), images, strict=True)
    ]


def test_paths_addresses_and_bytes_give_the_same_batch(tmp_path, log, shop, web):
    images = ["circle.png", str(shop / "square.jpg"), None]
    write_json_lines(shop / "paths.jsonl", rows(*images))
    addresses = [f"{web}/circle.png", (shop / "square.jpg").as_uri(), ""]
    write_json_lines(shop / "addresses.jsonl", rows(*addresses))
    uri = f"data:image/gif;base64,{base64.b64encode(CIRCLE).decode()}"
    write_json_lines(shop / "inside.jsonl", rows(uri, image_text(SQUARE), ""))
    columns = {
        "object_id": ["7", "9", "11"],
        "image": [CIRCLE, SQUARE, None],
        "text": ["a text"] * 3,
    }
    pq.write_table(pa.table(columns), shop / "bytes.parquet")
    nested = [{"bytes": each, "path": None} for each in columns["image"]]
    pq.write_table(pa.table({**columns, "image": nested}), shop / "nested.parquet")
    files = {"paths.jsonl", "addresses.jsonl", "inside.jsonl", "bytes.parquet", "nested.parquet"}
    released = {
        release_batch(
            log, shop / file, tmp_path / file,
            image="image.bytes" if file == "nested.parquet" else "image",
        ).batch_id
        for file in sorted(files)
    }  # fmt: skip
    assert len(released) == 1
    eleven, seven, nine = open_batch(tmp_path / "paths.jsonl").sessions.items.to_pylist()
    assert eleven == "a text"
    assert (seven, nine) == (image_text(CIRCLE), image_text(SQUARE))
    assert [is_image(text) for text in (seven, nine, eleven)] == [True, True, False]
    assert load_image(seven).size == (32, 32)
    assert read_manifest(tmp_path / "paths.jsonl").images.items == 2


def test_batches_with_images_are_merged_sampled_shown_and_exported(tmp_path, log, shop):
    write_json_lines(shop / "items.jsonl", rows("circle.png", "square.jpg", ""))
    run = ["batch", "release", str(log), "--items", str(shop / "items.jsonl"), "--image", "image"]
    done = CliRunner().invoke(cli, [*run, "--to", str(tmp_path / "batch")])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(cli, ["batch", "show", str(tmp_path / "batch")]).stdout
    assert "images        2 items, 0 queries" in shown
    sample = sample_batch(tmp_path / "batch", tmp_path / "sample", 1)
    merged = merge_batches([tmp_path / "sample", tmp_path / "batch"], tmp_path / "merged")
    assert f"{merged.batch_id}\n" == done.stdout.splitlines(keepends=True)[-1]
    assert sample.images is not None
    beir = ["batch", "export", str(tmp_path / "batch"), "--to", str(tmp_path / "beir")]
    assert CliRunner().invoke(cli, beir).exit_code == 0
    again = release_batch(
        tmp_path / "beir" / "qrels" / "test.tsv", tmp_path / "beir" / "corpus.jsonl",
        tmp_path / "again",
    )  # fmt: skip
    assert again.images == merged.images


def test_only_images_that_a_search_shows_are_read(tmp_path, log, shop):
    unseen = {"object_id": "99", "image": "nowhere.png", "text": ""}
    write_json_lines(shop / "items.jsonl", [*rows("circle.png", "square.jpg", ""), unseen])
    release_batch(log, shop / "items.jsonl", tmp_path / "batch", image="image")
    with pytest.raises(DataError, match=r"line 4: the image of the item '99': .*nowhere.png"):
        release_batch(log, shop / "items.jsonl", tmp_path / "whole", image="image", catalogue="all")


def of_pixels(width, height):
    """A PNG that says it has so many pixels, and holds none."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    empty = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + empty + chunk(b"IEND", b"")


def as_tiff():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "TIFF")
    return file.getvalue()


UNUSABLE = {
    "nothing": (b"\n", "no image that can be read: PNG, JPEG"),
    "a text": (b"<svg></svg>", "no image that can be read"),
    "another kind": (as_tiff(), "no image that can be read"),
    "cut": (CIRCLE[: len(CIRCLE) // 2], "not whole|no image"),
    "cut jpeg": (SQUARE[:-200], "The image is not whole: image file is truncated"),
    "a bomb": (of_pixels(60_000, 60_000), "too many pixels: Image size"),
    "many pixels": (of_pixels(9_500, 9_500), "9500 x 9500 pixels, and at most 50,000,000"),
    "a thread": (of_pixels(30_000, 2), "one side may be 20 times as long"),
    "no pixels": (of_pixels(8, 8), "The image is not whole"),
    "large": (CIRCLE + b"\0" * 10_000_000, "has 10,000,001 bytes, and at most 10,000,000"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_image_that_cannot_be_used_is_named_with_its_line_and_item(tmp_path, log, shop, name):
    content, message = UNUSABLE[name]
    (shop / "wrong.png").write_bytes(content)
    write_json_lines(shop / "items.jsonl", rows("circle.png", "wrong.png", ""))
    with pytest.raises(DataError, match=message) as raised:
        release_batch(log, shop / "items.jsonl", tmp_path / "batch", image="image")
    for part in (f"{shop}/items.jsonl, line 2: the image of the item '9': ", "wrong.png"):
        assert part in str(raised.value)
    assert not (tmp_path / "batch").exists()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([CIRCLE, SQUARE, GIF]), st.integers(0, 400), st.binary(max_size=6))
def test_any_bytes_are_an_image_or_refused(content, place, changed):
    with contextlib.suppress(DataError):
        text = image_text(content[:place] + changed + content[place + len(changed) :])
        assert load_image(text).mode == "RGB"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("nowhere.png", "shop/nowhere.png: there is no such file"),
        (".", "is a folder"),
        ("nosuch://bucket/a.png", "cannot be read: Protocol not known: nosuch"),
        (7, "should be a path, an address or bytes, and this is 7"),
        ("data:image/png;base64,%%%", "is not in base64"),
        ("data:image/png;base64,AAAA", "no image that can be read"),
    ],
)
def test_what_states_no_image_is_refused_in_words(shop, stated, message):
    with pytest.raises(DataError, match=message):
        stated_image(stated, shop / "items.jsonl")


def test_images_that_cannot_be_used_are_set_aside_up_to_a_share(tmp_path, log, shop):
    write_json_lines(shop / "items.jsonl", rows("circle.png", "nowhere.png", ""))
    items = shop / "items.jsonl"
    manifest = release_batch(log, items, tmp_path / "batch", image="image", tolerate=0.4)
    assert manifest.set_aside == {"result whose item the items file lacks": 2}
    (found,) = (each for each in manifest.found if "items" in each.what)
    assert (found.what, found.count) == ("lines of the items that cannot be used, set aside", 1)
    assert "line 2: the image of the item '9'" in found.examples[0]
    with pytest.raises(DataError, match=r"1 of 3 lines cannot be used, and 20.0000% are tolerated"):
        release_batch(log, items, tmp_path / "another", image="image", tolerate=0.2)


def test_a_field_that_no_item_has_is_named(tmp_path, log, shop):
    write_json_lines(shop / "items.jsonl", rows("circle.png", "square.jpg", ""))
    with pytest.raises(
        DataError, match=r"the field 'imag', which --image names, is missing. .*'image'"
    ):
        release_batch(log, shop / "items.jsonl", tmp_path / "batch", image="imag")


def test_images_that_memory_does_not_hold_are_refused(tmp_path, log, shop, monkeypatch):
    monkeypatch.setattr(assembly, "MOST_OF_IMAGES", 1_000)
    write_json_lines(shop / "items.jsonl", rows("circle.png", "square.jpg", ""))
    with pytest.raises(DataError, match=r"more than 1,000 characters .* Scale them down"):
        release_batch(log, shop / "items.jsonl", tmp_path / "batch", image="image")


def test_a_query_may_be_an_image(tmp_path, shop):
    write_json_lines(shop / "items.jsonl", rows("circle.png", "square.jpg", ""))
    sessions = [session(1, image_text(CIRCLE), ["7", "9"], ["7"])]
    log = write_json_lines(tmp_path / "log.jsonl", sessions)
    manifest = release_batch(log, shop / "items.jsonl", tmp_path / "batch", image="image")
    assert (manifest.images.queries, manifest.images.items) == (1, 2)
    (query,) = open_batch(tmp_path / "batch").sessions.queries.to_pylist()
    assert load_image(query).getpixel((12, 12)) == (255, 0, 0)
    sessions[0]["search_query"] = "data:image/png;base64,AAAA"
    write_json_lines(log, sessions)
    with pytest.raises(DataError, match="the session 's0001', its query: It is no image"):
        release_batch(log, shop / "items.jsonl", tmp_path / "another", image="image")


def test_queries_that_name_images_are_images_where_that_is_asked_for(tmp_path, log, shop, web):
    write_json_lines(shop / "items.jsonl", rows("circle.png", "square.jpg", ""))
    queries = ["shop/circle.png", f"{web}/circle.png?size=2", "what is circle.png", "gone.JPG"]
    sessions = [
        session(number, query, ["7", "9"], ["7"]) for number, query in enumerate(queries, start=1)
    ]
    write_json_lines(log, sessions)
    run = ["batch", "release", str(log), "--items", str(shop / "items.jsonl"), "--image", "image"]
    done = CliRunner().invoke(cli, [*run, "--to", str(tmp_path / "texts")])
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "texts").images.queries == 0
    run = [*run, "--image-queries", "--to", str(tmp_path / "batch")]
    refused = CliRunner().invoke(cli, run)
    message = f"the session 's0004', its query: {tmp_path}/gone.JPG: there is no such file."
    assert str(refused.exception) == message
    done = CliRunner().invoke(cli, [*run, "--tolerate", "40%"])
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "batch")
    assert manifest.set_aside == {"session whose query is an image that cannot be used": 1}
    assert manifest.found[0].count == 1
    found = open_batch(tmp_path / "batch").sessions
    assert found.queries.to_pylist() == [image_text(CIRCLE), "what is circle.png"]
    assert found.query_index.tolist() == [0, 0, 1]


def test_an_image_lies_upright_and_has_three_colours():
    image = Image.new("LA", (4, 8), (0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    loaded = load_image(image_text(file.getvalue()))
    assert (loaded.size, loaded.mode) == ((8, 4), "RGB")


def test_texts_that_only_begin_like_an_image_are_texts(tmp_path):
    for text in ("data:image/svg+xml;base64,AAAA", "see data:image/png;base64,AAAA", "data:"):
        assert not is_image(text)
    assert json.loads(json.dumps(image_text(CIRCLE))) == image_text(CIRCLE)
