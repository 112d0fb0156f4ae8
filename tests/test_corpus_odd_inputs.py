"""Files nobody plans: those that change while they are read, other encodings, random bytes."""

import os
import shutil
from pathlib import Path

import pytest
from corpus_files import (
    PACKERS,
    SENTENCES,
    WRITERS,
    as_jsonl,
    build_from,
    everything,
    text_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpt.corpus import build, readers
from xpt.corpus.formats import COMPRESSIONS, FORMATS
from xpt.corpus.sources import find_sources
from xpt.errors import XPTError


def half_read(monkeypatch, path: Path, change):
    """Call `change` when the first sentences of `path` have been read."""
    original, changed = readers.row_document, []

    def row_document(*arguments):
        if not changed:
            changed.append(change())
        return original(*arguments)

    monkeypatch.setattr(readers, "row_document", row_document)


def replaced_alike(path: Path) -> None:
    twin = path.with_suffix(".new")
    twin.write_bytes(as_jsonl([line.replace("서울", "부산") for line in SENTENCES * 40]))
    os.utime(twin, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    assert twin.stat().st_size == path.stat().st_size
    os.replace(twin, path)


CHANGES = {
    "grows": lambda path: path.open("ab").write(as_jsonl(SENTENCES)),
    "shrinks": lambda path: os.truncate(path, 70_001),  # in the middle of a row
    "is emptied": lambda path: os.truncate(path, 0),
    "is written anew": lambda path: path.write_bytes(path.read_bytes()[::-1]),
    "is replaced": replaced_alike,
    "is deleted": lambda path: path.unlink(),
    "becomes a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_file_that_changes_under_the_reader_is_refused(tmp_path, monkeypatch, case):
    path = tmp_path / "in" / "a.jsonl"
    path.parent.mkdir()
    path.write_bytes(as_jsonl(SENTENCES * 40))
    half_read(monkeypatch, path, lambda: CHANGES[case](path))
    with pytest.raises(
        XPTError, match=r"a\.jsonl (changed|was removed) while it was read: start again"
    ) as caught:
        build_from(path, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_a_file_deleted_before_it_is_read_is_named(tmp_path, monkeypatch):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    found = find_sources((str(path),))
    path.unlink()
    monkeypatch.setattr(build, "find_sources", lambda *_: found)
    with pytest.raises(XPTError, match=r"a\.txt was removed while it was read"):
        build_from(path, tmp_path / "cache")


# Bytes


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("extension", [".txt", ".jsonl", ".csv", ".tsv"])
def test_wide_encodings_are_named_with_the_way_out(tmp_path, extension, encoding):
    text = WRITERS[extension](["Mae'r gath yn eistedd ar y mat heddiw."] * 3).decode()
    (tmp_path / f"a{extension}").write_bytes(text.encode(encoding))
    with pytest.raises(
        XPTError, match=r"line 1 is not UTF-8 but looks like UTF-16 .* iconv -f utf-16 -t utf-8"
    ):
        build_from(tmp_path / f"a{extension}", tmp_path / "cache", language="cy")


@pytest.mark.parametrize("extension", [".txt", ".jsonl", ".csv", ".tsv"])
def test_byte_order_marks_and_line_ends_of_windows_are_no_text(tmp_path, extension):
    content = WRITERS[extension](SENTENCES[:60]).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    (tmp_path / f"a{extension}").write_bytes(b"\xef\xbb\xbf" + content)
    assert everything(build_from(tmp_path, tmp_path / ".cache")) == sorted(SENTENCES[:60])


def test_single_nul_bytes_are_dropped(tmp_path):
    (tmp_path / "a.txt").write_bytes("\n".join(SENTENCES[:60]).replace("에 사는", "\0에 사는").encode())
    assert everything(build_from(tmp_path, tmp_path / ".cache")) == sorted(SENTENCES[:60])


def test_the_place_of_a_wrong_byte_is_counted_through_a_long_line(tmp_path):
    content = "가나다\n".encode() + "가".encode() * 200_000 + b"\xb0"
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(XPTError, match=r"line 2, byte 600001 is not UTF-8 \(0xb0\)"):
        build_from(tmp_path / "a.txt", tmp_path / ".cache")


def test_the_place_of_a_wrong_byte_is_counted_through_many_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes("가나다\n".encode() * 100_000 + "가나".encode() + b"\xb0\n")
    with pytest.raises(XPTError, match=r"line 100001, byte 7 is not UTF-8 \(0xb0\)"):
        build_from(tmp_path / "a.txt", tmp_path / ".cache")


def test_a_line_of_zeros_among_many_is_named(tmp_path):
    lines = [line.encode() for line in SENTENCES * 30]
    lines[9000] = b"\0" * 90
    (tmp_path / "a.txt").write_bytes(b"\n".join(lines))
    with pytest.raises(XPTError, match=r"line 9001 is not UTF-8 but looks like UTF-16 or binary data"):
        build_from(tmp_path / "a.txt", tmp_path / ".cache")


EXTENSIONS = [f"{format_}{packing}" for format_ in FORMATS for packing in ("", *COMPRESSIONS)]
GOOD = {**WRITERS, ".xml": lambda rows: f"<mediawiki>{''.join(rows)}</mediawiki>".encode()}


@st.composite
def damaged_files(draw) -> tuple[str, bytes]:
    """Random bytes, or a good file with some of its bytes changed, cut or repeated; packed or not."""
    extension = draw(st.sampled_from(EXTENSIONS))
    format_, packing = f".{extension.split('.')[1]}", extension[len(extension.split(".")[1]) + 1 :]
    content = draw(st.binary(max_size=300))
    if draw(st.booleans()):
        good = GOOD[format_](SENTENCES[:30])
        start = draw(st.integers(0, len(good)))
        content = good[:start] + content[:8] + good[start + draw(st.integers(0, 9)) :]
    if packing and draw(st.booleans()):
        content = PACKERS[packing](content)
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(st.binary(max_size=4)) + content[start + draw(st.integers(0, 4)) :]
    return extension, content


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_files())
def test_any_bytes_give_a_corpus_or_one_line(tmp_path, damaged):
    extension, content = damaged
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    path = folder / f"a{extension}"
    path.write_bytes(content)
    try:
        build_from(path, tmp_path / "cache")
    except XPTError as error:
        assert str(error).isprintable() and str(path) in str(error)
        assert not (tmp_path / "cache").exists()
    finally:
        path.unlink()
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
