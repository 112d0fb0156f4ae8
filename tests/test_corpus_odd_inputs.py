"""Inputs nobody plans: endless lines, links in circles, pipes, odd names, files that change, random bytes."""

import gzip
import os
import shutil
import socket
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from corpus_files import (
    PACKERS,
    SENTENCES,
    WRITERS,
    as_csv,
    as_jsonl,
    build_from,
    everything,
    sentence,
    text_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpt.corpus import CorpusSettings, build, readers, sentences
from xpt.corpus.lines import LONGEST_PIECE, cut_long, text_lines
from xpt.corpus.opening import open_bytes
from xpt.corpus.readers import Document
from xpt.corpus.sentences import DocumentCleaner
from xpt.corpus.sources import COMPRESSIONS, FORMATS, find_sources
from xpt.errors import XPTError
from xpt.files import read_record, write_record


def sources_of(path: Path) -> list[str]:
    return [source.path.name for source in find_sources((str(path),))]


# Long lines


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["가", "한글 ", "그는 갔다. ", "끝。", "a", "😀"]), st.integers(1, 30_000)),
        max_size=12,
    )
)
def test_pieces_of_a_line_are_bounded_and_joined_the_line(parts):
    line = "".join(text * count for text, count in parts)
    pieces = cut_long(line)
    assert "".join(pieces) == line
    assert max(map(len, pieces)) <= LONGEST_PIECE
    assert len(pieces) <= 1 + 2 * len(line) // LONGEST_PIECE
    if len(line) <= LONGEST_PIECE:
        assert pieces == [line]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["가", "그는 갔다. ", "\n", "😀 "]), st.integers(1, 90_000)), max_size=8
    )
)
def test_a_streamed_line_is_cut_like_a_whole_one(tmp_path, parts):
    text = "".join(text * count for text, count in parts)
    path = tmp_path / "a.txt"
    path.write_text(text, "utf-8", newline="")
    (source,) = find_sources((str(path),))
    with open_bytes(source, lambda count: None) as stream:
        streamed = list(text_lines(source, stream))
    lines = [line for line in text.split("\n") if line] and text.splitlines(keepends=True)
    assert streamed == [piece for line in lines for piece in cut_long(line)]


@pytest.mark.parametrize("extension", WRITERS)
def test_no_sentence_of_a_long_line_is_lost(tmp_path, extension):
    lines = [sentence(index) for index in range(4000)]
    path = tmp_path / f"a{extension}"
    path.write_bytes(WRITERS[extension]([" ".join(lines)]))
    assert everything(build_from(path, tmp_path / "cache")) == sorted(lines)


def test_memory_does_not_grow_with_the_line(tmp_path):
    def peak(size: int) -> int:
        path = tmp_path / f"{size}.txt"
        with open(path, "w", encoding="utf-8") as file:
            for _ in range(size):
                file.write("그는 오늘도 집에서 책을 읽었다. " * 1000)
        tracemalloc.start()
        try:
            build_from(path, tmp_path / "cache", splitter="lines", max_characters=10**6)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(100) - peak(20) < 1 << 19  # lines of 4.5 and 0.9 MB


HARD_TO_CLEAN = ("1. ", "&amp;", ", ", '"다.가', "((", "[[a|", "{{", "''", "<b", 'title="', "가다.(가", "가 ")


@pytest.mark.parametrize("text", HARD_TO_CLEAN)
def test_what_is_cleaned_at_once_does_not_grow_with_the_line(tmp_path, monkeypatch, text):
    """Whatever the expressions of the cleaner cost on a piece, a line costs a sum over its pieces."""
    seen: list[int] = []

    def counted(line: str) -> str:
        seen.append(len(line))
        return clean_text(line)

    clean_text = sentences.clean_text
    monkeypatch.setattr(sentences, "clean_text", counted)
    path = tmp_path / "a.txt"
    line = text * (3 * LONGEST_PIECE // len(text))
    path.write_text(line, "utf-8")
    (source,) = find_sources((str(path),))
    cleaner = DocumentCleaner(CorpusSettings(corpus=(str(path),), splitter="lines"))
    with open_bytes(source, lambda count: None) as stream:
        for piece in text_lines(source, stream):
            cleaner.sentences(Document([piece]))
    assert max(seen) <= LONGEST_PIECE
    assert sum(seen) <= 2 * len(line)


def test_a_row_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("xpt.corpus.lines.LONGEST_ROW", 10_000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_jsonl(SENTENCES[:5]) + as_jsonl([" ".join(SENTENCES)]))
    with pytest.raises(
        XPTError, match=r"a\.jsonl line 6 has more than 10,000 characters: write one document"
    ):
        build_from(path, tmp_path / "cache")


def test_a_cell_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_ROW", 10_000)
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(SENTENCES[:5]) + b'6,"' + b"x\n" * 20_000)
    with pytest.raises(XPTError, match=r"a\.csv line \d+ is not CSV: field larger than field limit"):
        build_from(path, tmp_path / "cache")


# Bombs


@pytest.mark.parametrize(
    "name",
    ["a.jsonl.gz", "a.csv.gz", "a.tsv.xz", "a.xml.bz2", *(f"a.txt{packing}" for packing in COMPRESSIONS)],
)
def test_a_bomb_is_met_with_bounded_memory(tmp_path, monkeypatch, name):
    monkeypatch.setattr("xpt.corpus.lines.LONGEST_ROW", 1 << 20)
    path = tmp_path / name
    path.write_bytes(PACKERS[path.suffix](b"x " * (1 << 24)))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(XPTError):
            build_from(path, tmp_path / "cache", splitter="lines")
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_packed_parquet_file_cannot_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_UNPACKED_FREE", 1 << 16)
    path = tmp_path / "a.parquet.gz"
    path.write_bytes(gzip.compress(b"\0" * (1 << 24)))
    with pytest.raises(XPTError, match=r"a\.parquet\.gz unpacks to more than 100 times its size"):
        build_from(path, tmp_path / "cache")


# Folders


def test_ten_thousand_short_files(tmp_path):
    for index in range(10_000):
        folder = tmp_path / "in" / f"{index % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.txt").write_bytes(sentence(index).encode())
    corpus = build_from(tmp_path / "in", tmp_path / "cache")
    assert everything(corpus) == sorted(map(sentence, range(10_000)))
    assert corpus.report["files"] == corpus.report["documents"] == 10_000


def test_a_folder_as_deep_as_a_path_can_be(tmp_path):
    folder = tmp_path
    while len(str(folder)) < 4000:
        folder = folder / "d"
    folder.mkdir(parents=True)
    text_of(folder / "a.txt", SENTENCES[:40])
    try:
        assert everything(build_from(tmp_path, tmp_path / "cache")) == sorted(SENTENCES[:40])
        assert sources_of(tmp_path / "**" / "*.txt") == ["a.txt"]
    finally:
        os.system(f"rm -rf '{tmp_path / 'd'}'")  # shutil.rmtree recurses


def test_links_in_circles_end_and_each_file_is_read_once(tmp_path):
    root, outside = tmp_path / "in", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    text_of(root / "a" / "a.txt", SENTENCES[:40])
    text_of(outside / "b.txt", SENTENCES[40:50])
    for name in ("one", "two", "three"):  # every path through them is a path: 3^40
        (root / "a" / name).symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "elsewhere").symlink_to(outside)
    (root / "again.txt").symlink_to(root / "a" / "a.txt")
    assert sources_of(root / "**") in (["a.txt", "b.txt"], ["again.txt", "b.txt"])
    assert everything(build_from(root, tmp_path / "cache")) == sorted(SENTENCES[:50])
    assert len(find_sources((str(root / "**" / "*.txt"),))) == 2


def test_a_link_to_nothing_is_named(tmp_path):
    text_of(tmp_path / "a.txt", SENTENCES[:40])
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone.txt")
    for name in (tmp_path, tmp_path / "b.txt", tmp_path / "*.txt"):
        with pytest.raises(XPTError, match=r"b\.txt is a link to nothing: mend or remove it"):
            find_sources((str(name),))
    (tmp_path / "b.txt").unlink()
    (tmp_path / "b.txt").symlink_to(tmp_path / "b.txt")
    with pytest.raises(XPTError, match=r"b\.txt is a link to nothing"):
        find_sources((str(tmp_path),))


def test_pipes_sockets_and_devices_are_passed_by_in_folders_and_refused_by_name(tmp_path):
    text_of(tmp_path / "a.txt", SENTENCES[:40])
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "null.txt").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        with suppress(OSError):  # the name of a socket must be short
            listener.bind(str(tmp_path / "s.txt"))
        assert sources_of(tmp_path) == sources_of(tmp_path / "*") == ["a.txt"]
        for name in {"pipe.txt", "null.txt", "s.txt"} & set(os.listdir(tmp_path)):
            with pytest.raises(XPTError, match=rf"{name} is no regular file: write what it gives into one"):
                find_sources((str(tmp_path / name),))


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    path = text_of(tmp_path / "a.txt", SENTENCES[:40])
    found = find_sources((str(path),))
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(build, "find_sources", lambda _: found)
    with pytest.raises(XPTError, match=r"a\.txt was removed while it was read"):
        build_from(path, tmp_path / "cache")


@pytest.fixture
def without_privileges(tmp_path):
    """For the superuser every file is readable: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    places = [tmp_path, *tmp_path.parents]
    modes = [place.stat().st_mode for place in places]
    for place, mode in zip(places, modes, strict=True):
        place.chmod(mode | 0o755)
    tmp_path.chmod(0o777)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)


def test_what_may_not_be_read_is_named(tmp_path, without_privileges):
    folder = tmp_path / "in"
    (folder / "closed").mkdir(parents=True)
    text_of(folder / "a.txt", SENTENCES[:40]).chmod(0)
    text_of(folder / "closed" / "b.txt", SENTENCES[40:50])
    with pytest.raises(XPTError, match=r"in/a\.txt may not be read \(Permission denied\): make it readable"):
        build_from(folder, tmp_path / "cache")
    (folder / "closed").chmod(0)
    for name in (folder, folder / "**" / "*.txt"):
        with pytest.raises(XPTError, match=r"folder .*in/closed cannot be read \(Permission denied\)"):
            build_from(name, tmp_path / "cache")
    with pytest.raises(XPTError, match=r"corpus .*closed/b\.txt cannot be read \(Permission denied\)"):
        build_from(folder / "closed" / "b.txt", tmp_path / "cache")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    (folder / "closed").chmod(0o755)


def test_a_name_that_is_too_long_is_named(tmp_path):
    with pytest.raises(XPTError, match=r"x+\.txt cannot be read \(File name too long\)"):
        find_sources((str(tmp_path / ("x" * 300 + ".txt")),))


ODD_NAMES = (
    b"\xb0\xa1.txt",
    b"two\nlines.txt",
    b"tab\there.txt",
    b"-n.txt",
    b"quote'\".txt",
    b"[a]*.txt",
    b" .txt",
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_of_any_name_are_read_and_named_on_one_line(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    text_of(path, SENTENCES[:40])
    for place in (path, tmp_path):
        corpus = build_from(place, tmp_path / ".cache")
        assert everything(corpus) == sorted(SENTENCES[:40])
        shown = corpus.report["inputs"][0]["file"]
        assert shown.isprintable() and shown.encode("utf-8")
    path.write_bytes(b"\xff")
    with pytest.raises(XPTError, match="line 1, byte 1 is not UTF-8") as caught:
        build_from(path, tmp_path / ".cache")
    assert str(caught.value).isprintable()


# Files that change


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
    monkeypatch.setattr(build, "find_sources", lambda _: found)
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


def test_settings_with_any_name_can_be_recorded(tmp_path):
    settings = {"corpus": [os.fsdecode(name) for name in ODD_NAMES]}
    write_record(tmp_path / "a.json", settings)
    assert read_record(tmp_path / "a.json") == settings
