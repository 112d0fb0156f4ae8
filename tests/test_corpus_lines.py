"""Endless lines, rows and archives: bounded at once, and nothing of them lost."""

import gzip
import tracemalloc

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
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xpt.corpus import CorpusSettings, documents, readers, sentences, tables
from xpt.corpus.documents import Document
from xpt.corpus.formats import COMPRESSIONS
from xpt.corpus.lines import LONGEST_PIECE, cut_long, text_lines
from xpt.corpus.opening import open_bytes
from xpt.corpus.sentences import DocumentCleaner
from xpt.corpus.sources import find_sources
from xpt.errors import XPTError

LINE_ENDS = ("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


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
        st.tuples(st.sampled_from(["가", "그는 갔다. ", "😀 ", *LINE_ENDS]), st.integers(1, 90_000)),
        max_size=8,
    )
)
@example(parts=[("\n", 1)])
@example(
    parts=[("\n", 100), ("a", (1 << 18) - 101), ("\r\n", 1), ("a", 1)]
)  # cut where the line is read in parts
@example(parts=[("a", LONGEST_PIECE - 1), ("\r\n", 2)])
@example(parts=[("가", LONGEST_PIECE), ("\u2029", 2), ("가", LONGEST_PIECE), ("\r", 1)])
@example(parts=[])
def test_a_streamed_line_is_cut_like_a_whole_one(tmp_path, parts):
    text = "".join(text * count for text, count in parts)
    path = tmp_path / "a.txt"
    path.write_text(text, "utf-8", newline="")
    (source,) = find_sources((str(path),))
    with open_bytes(source, lambda count: None) as stream:
        streamed = list(text_lines(source, stream))
    assert streamed == [piece for line in text.splitlines(keepends=True) for piece in cut_long(line)]


@pytest.mark.parametrize("splitter", ["lines", "sentencex"])
@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize("extension", [*WRITERS, "wiki"])
def test_any_line_end_gives_the_sentences_of_a_line_feed(tmp_path, extension, end, splitter):
    """Lines without a full stop: nothing but their ends keeps them apart."""
    lines = [
        line for index in range(90) for line in (f"{index}번째 제목", f"{sentence(index)[:-1]}다고 한다")
    ]
    path = tmp_path / f"a{extension}"
    if extension in (".txt", "wiki"):
        title = ['<doc id="1" title="글">', "글", ""] if extension == "wiki" else []
        path = tmp_path / ("wiki_00" if extension == "wiki" else "a.txt")
        path.write_bytes(end.join([*title, *lines]).encode())
    else:
        quoted = end in "\r\n" and extension == ".tsv"  # pandas would put such a cell in quotes
        text = end.join(lines)
        path.write_bytes(WRITERS[extension]([f'"{text}"' if quoted else text, SENTENCES[399]]))
    found = everything(build_from(path, tmp_path / "cache", splitter=splitter))
    assert [line for line in found if line != SENTENCES[399]] == sorted(lines[1::2])


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("extension", WRITERS.keys() - {".parquet"})
def test_rows_that_end_in_carriage_returns(tmp_path, extension, packing):
    path = tmp_path / f"a{extension}{packing}"
    content = WRITERS[extension](SENTENCES[:60]).replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    path.write_bytes(PACKERS[packing](content))
    assert everything(build_from(path, tmp_path / "cache")) == sorted(SENTENCES[:60])
    if extension == ".jsonl":
        path.write_bytes(PACKERS[packing](content + b"{oops\r"))
        with pytest.raises(XPTError, match="line 61 is not JSON"):
            build_from(path, tmp_path / "cache")


@pytest.mark.parametrize("extension", WRITERS)
def test_no_sentence_of_a_long_line_is_lost(tmp_path, extension):
    lines = [sentence(index) for index in range(4000)]
    path = tmp_path / f"a{extension}"
    path.write_bytes(WRITERS[extension]([" ".join(lines)]))
    assert everything(build_from(path, tmp_path / "cache")) == sorted(lines)


@pytest.fixture
def small_chunks(monkeypatch):
    """What waits to be cleaned is bounded by a few parts of documents: small ones beside these texts."""
    monkeypatch.setattr(documents, "_CHARACTERS_AT_ONCE", 1 << 15)
    monkeypatch.setattr("xpt.corpus.workers._CHUNK_CHARACTERS", 1 << 15)


def test_memory_does_not_grow_with_the_line(tmp_path, small_chunks):
    def peak(size: int) -> int:
        path = tmp_path / f"{size}.txt"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{SENTENCES[0]}\n")
            for _ in range(size):
                file.write("그는 오늘도 집에서 책을 읽었다. " * 1000)
        tracemalloc.start()
        try:
            build_from(path, tmp_path / "cache", splitter="lines")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(240) - peak(60) < 1 << 19  # lines of 11 and 2.7 MB


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
    monkeypatch.setattr(tables, "LONGEST_ROW", 10_000)
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(SENTENCES[:5]) + b'6,"' + b"x\n" * 20_000)
    with pytest.raises(XPTError, match=r"a\.csv line \d+ is not CSV: field larger than field limit"):
        build_from(path, tmp_path / "cache")


# Bombs


@pytest.mark.parametrize(
    "name",
    ["a.jsonl.gz", "a.csv.gz", "a.tsv.xz", "a.xml.bz2", *(f"a.txt{packing}" for packing in COMPRESSIONS)],
)
def test_a_bomb_is_met_with_bounded_memory(tmp_path, monkeypatch, small_chunks, name):
    monkeypatch.setattr("xpt.corpus.lines.LONGEST_ROW", 1 << 20)
    path = tmp_path / name
    path.write_bytes(PACKERS[path.suffix](b"x " * (1 << 23)))
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
