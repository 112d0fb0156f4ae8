"""Files whose name does not say what is in them: WikiExtractor's JSON, JSON lines, tables named .txt."""

import bz2
import json

import pytest
from corpus_files import PACKERS, SENTENCES, as_jsonl, as_tsv, build_from, everything, text_of

from xpt.corpus.formats import COMPRESSIONS
from xpt.corpus.guesses import HEAD_BYTES, read_head, table_header
from xpt.corpus.report import format_corpus_report
from xpt.corpus.sources import find_sources
from xpt.errors import XPTError


def article(title: str, text: str, **more) -> dict:
    url = "https://ko.wikipedia.org/wiki?curid=5"
    return {"id": "5", "revid": "7", "url": url, "title": title, "text": text, **more}


def json_lines(*rows: dict, escaped: bool = False) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows).encode()


# d: WikiExtractor --json


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "plain"])
@pytest.mark.parametrize("name", ["AA/wiki_00", "AA/wiki_00.bz2", "wiki.jsonl"])
def test_articles_of_wikiextractor_json(tmp_path, name, escaped):
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    rows = json_lines(
        article("밤 & 낮", f"밤 &amp; 낮\n\n{SENTENCES[0]}\n역사와 문화.\n그는 집에 갔다.\n"),
        article("제목", f"{SENTENCES[1]}\n제목\n"),  # newer versions write no title
        article("빈 문서", "빈 문서\n"),
        article("수식", "여기서 formula_12는 밤의 길이를 뜻하는 값이다."),
        escaped=escaped,
    )
    path.write_bytes(bz2.compress(rows) if path.suffix == ".bz2" else rows)
    corpus = build_from(tmp_path / "in", tmp_path / "cache", min_characters=1)
    assert everything(corpus) == sorted([*SENTENCES[:2], "그는 집에 갔다."])
    assert corpus.report["dropped"]["heading"] == 2  # a title behind the first line is one
    assert corpus.report["documents"] == 2


def test_a_title_is_dropped_only_where_the_text_begins_with_it(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_bytes(json_lines(article("서울", f"{SENTENCES[0]}\n"), article(SENTENCES[1], SENTENCES[1])))
    assert everything(build_from(path, tmp_path / "cache")) == [SENTENCES[0]]


def test_rows_of_another_origin_are_no_articles(tmp_path):
    rows = [article("제목", "그는 집에 갔다.", url="https://example.org/5"), {"text": "그는 또 집에 갔다."}]
    (tmp_path / "a.jsonl").write_bytes(json_lines(*rows))
    corpus = build_from(
        tmp_path / "a.jsonl", tmp_path / "cache", min_characters=1, language="uk", min_script_share=0
    )
    assert everything(corpus) == [
        "그는 또 집에 갔다.",
        "그는 집에 갔다.",
    ]  # short lines of articles are headings


# JSON lines under other names


@pytest.mark.parametrize("packing", ["", *COMPRESSIONS])
@pytest.mark.parametrize("extension", [".ndjson", ".jsonlines", ".json", ".txt", ".text", ".NDJSON"])
def test_json_lines_of_any_name_are_read_as_such(tmp_path, extension, packing):
    path = tmp_path / f"a{extension}{packing}"
    path.write_bytes(PACKERS[packing](b"\xef\xbb\xbf\n" + as_jsonl(SENTENCES[:50])))
    for place in (path, tmp_path):
        assert everything(build_from(place, tmp_path / ".cache")) == sorted(SENTENCES[:50])


def test_a_first_row_longer_than_the_head_is_a_row(tmp_path):
    path = tmp_path / "a.json"
    lines = [f"{SENTENCES[0][:-1]} {number}." for number in range(HEAD_BYTES // 50)]
    path.write_bytes(as_jsonl(["\n".join(lines), SENTENCES[1]]))
    assert path.stat().st_size > HEAD_BYTES
    for place in (path, tmp_path):
        assert everything(build_from(place, tmp_path / ".cache")) == sorted([*lines, SENTENCES[1]])


NO_ROWS = {
    "list": b'[{"text": "a"}]',
    "object over lines": b'{\n "text": "a"\n}',
    "empty": b"",
    "text": "그는 갔다.".encode(),
    "utf-16": '{"text": "a"}'.encode("utf-16"),
}


@pytest.mark.parametrize("case", NO_ROWS)
def test_other_json_is_refused_by_name_and_passed_over_in_folders(tmp_path, case):
    path = tmp_path / "a.json"
    path.write_bytes(NO_ROWS[case])
    with pytest.raises(XPTError, match=r"a\.json has not one JSON object a line: write it so, .* jq -c"):
        find_sources((str(path),))
    text_of(tmp_path / "b.txt", SENTENCES[:40])
    corpus = build_from(tmp_path, tmp_path / ".cache")
    assert everything(corpus) == sorted(SENTENCES[:40])
    assert corpus.report["entries"][0]["passed_over"] == {".json (not one object a line)": 1}


def test_an_object_without_the_column_is_settings_in_a_folder_and_named_by_name(tmp_path):
    (tmp_path / "state.json").write_bytes(b'{"body": "x"}\n')
    text_of(tmp_path / "b.txt", SENTENCES[:40])
    assert [source.path.name for source in find_sources((str(tmp_path),))] == ["b.txt"]
    assert len(find_sources((str(tmp_path),), "body")) == 2
    with pytest.raises(XPTError, match=r"state\.json line 1 has no column text: set column to one of body"):
        build_from(tmp_path / "state.json", tmp_path / ".cache")


@pytest.mark.parametrize("head", ['[\n  {"text": "', '{\n  "text": "', '[{"text": "'])
def test_a_text_that_looks_like_json_is_read_with_a_warning(tmp_path, head):
    path = text_of(tmp_path / "a.txt", [head, *SENTENCES[:40]])
    corpus = build_from(path, tmp_path / "cache")
    assert everything(corpus) == sorted(SENTENCES[:40])
    assert corpus.report["warnings"] == [
        f"{path} looks like JSON, but is read as text: write one object a line, as .jsonl"
    ]


# Tables named .txt


def ratings(rows: list[str], column: str) -> bytes:
    return (
        as_tsv(rows)
        .replace(b"id\ttext", f"id\t{column}".encode())
        .replace(b"\n", b"\t1\n")
        .replace(f"{column}\t1".encode(), f"{column}\tlabel".encode())
    )


@pytest.mark.parametrize("packing", ["", *COMPRESSIONS])
@pytest.mark.parametrize("name, column", [("text", None), ("document", "document")])
def test_a_table_named_txt_is_read_where_it_has_the_column(tmp_path, name, column, packing):
    path = tmp_path / f"ratings_train.txt{packing}"
    path.write_bytes(PACKERS[packing](ratings(SENTENCES, name)))
    corpus = build_from(path, tmp_path / "cache", column=column)
    assert everything(corpus) == sorted(SENTENCES)
    assert corpus.report["warnings"] == []


def test_a_table_named_txt_without_the_column_is_named(tmp_path):
    path = tmp_path / "ratings_train.txt"
    path.write_bytes(ratings(SENTENCES, "document"))
    corpus = build_from(path, tmp_path / "cache")
    warning = f"{path} looks like a table, but is read as text: set column to one of id, document, label"
    assert corpus.report["warnings"] == [warning]
    assert f"warning: {warning}" in format_corpus_report(corpus.report).splitlines()
    chosen = build_from(path, tmp_path / "cache", column="document")
    assert everything(chosen) == sorted(SENTENCES)  # and not what was found for another column


NO_TABLES = {
    "prose": ["한 줄", "두 줄"],
    "indented": ["\t첫 줄", "\t둘째 줄"],
    "some tabs": ["가\t나", "다", "라\t마"],
    "one line": ["id\ttext"],
    "repeated": ["가\t가", "나\t다"],
    "nothing": [],
}


@pytest.mark.parametrize("case", NO_TABLES)
def test_tabs_alone_make_no_table(case):
    assert table_header("\n".join(NO_TABLES[case]).encode()) is None


def test_warnings_of_many_files_are_bounded(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.txt").write_bytes(ratings(SENTENCES[:40], "document"))
    warnings = build_from(tmp_path, tmp_path / ".cache").report["warnings"]
    assert len(warnings) == 6 and warnings[-1] == "and the like of 4 more files"


def test_reading_the_head_loses_nothing(tmp_path):
    for size in (0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 3 * HEAD_BYTES):
        content = bytes(number % 251 for number in range(size))
        (tmp_path / "a").write_bytes(content)
        with open(tmp_path / "a", "rb") as file:
            head, stream = read_head(file)
            assert head == content[:HEAD_BYTES] and stream.read() == content
