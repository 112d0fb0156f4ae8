"""Corpus inputs: every format and packing, WikiExtractor, and what is refused."""

import bz2
import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pytest
from corpus_files import (
    PACKERS,
    SENTENCES,
    WRITERS,
    as_csv,
    as_jsonl,
    as_parquet,
    build_from,
    everything,
    sentence,
    text_of,
)

from xpt.corpus import CorpusSettings, build, build_corpus
from xpt.corpus.sources import find_sources
from xpt.errors import XPTError


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("extension", WRITERS)
def test_every_format_and_packing_gives_the_same_corpus(tmp_path, extension, packing):
    plain = text_of(tmp_path / "plain.txt", SENTENCES)
    path = tmp_path / f"data{extension}{packing}"
    path.write_bytes(PACKERS[packing](WRITERS[extension](SENTENCES)))
    corpus = build_from(path, tmp_path / "cache")
    assert corpus.fingerprint == build_from(plain, tmp_path / "cache").fingerprint
    assert everything(corpus) == sorted(SENTENCES)


def test_quotes_are_text_in_tsv_and_syntax_in_csv(tmp_path):
    said = '그는 "내일은 눈이 온다"고 나에게 말했다.'
    (tmp_path / "a.tsv").write_text(
        f'text\tlabel\n{said}\t1\n"따옴표로 시작하는 문장도 그대로 남는다.\t0\n', "utf-8"
    )
    (tmp_path / "b.csv").write_bytes(as_csv([said]))
    tsv = build_from(tmp_path / "a.tsv", tmp_path / "cache")
    assert everything(tsv) == sorted([said, '"따옴표로 시작하는 문장도 그대로 남는다.'])
    assert everything(build_from(tmp_path / "b.csv", tmp_path / "cache")) == [said]


def test_csv_cells_over_lines_and_over_the_modules_limit(tmp_path):
    long = " ".join(sentence(index) for index in range(6000))
    (tmp_path / "a.csv").write_bytes(as_csv(["첫째 줄에 있는 문장입니다.\n둘째 줄에 있는 문장입니다.", long]))
    corpus = build_from(tmp_path / "a.csv", tmp_path / "cache")
    assert {"첫째 줄에 있는 문장입니다.", "둘째 줄에 있는 문장입니다.", sentence(5999)} <= set(
        everything(corpus)
    )


def test_folders_globs_and_repeats(tmp_path):
    text_of(tmp_path / "b.txt", SENTENCES[:50])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    text_of(tmp_path / "deep" / "er" / "a.txt", SENTENCES[50:90])
    text_of(tmp_path / "deep" / "wiki_00", SENTENCES[90:99])
    text_of(tmp_path / "deep" / ".hidden.txt", ["숨은 파일은 읽지 않는다고 한다."])
    text_of(tmp_path / "README.md", ["설명은 말뭉치가 아니라고 한다."])
    names = (str(tmp_path), str(tmp_path / "**" / "*.txt"), str(tmp_path / "b.txt"))
    assert len(find_sources(names)) == 3
    corpus = build_corpus(CorpusSettings(corpus=names), tmp_path / "cache", progress=False)
    assert everything(corpus) == sorted(SENTENCES[:99])
    assert [entry["file"] for entry in corpus.report["inputs"]] == ["b.txt", "a.txt", "wiki_00"]


def test_wikiextractor_output(tmp_path):
    text = (
        '<doc id="1" url="u" title="밤 &amp; 낮">\n밤 &amp; 낮\n\n'
        "밤(, )은 해가 진 뒤의 시간(夜, 1929년 ~ )을 말한다. 낮은 그 반대&lt;br&gt;이다.\n역사와 문화.\n"
        "여기서 formula_12는 밤의 길이를 뜻하는 값이다.\n그는 집에 갔다.\n</doc>\n"
        '<doc id="2" url="u" title="빈 문서">\n빈 문서\n\n</doc>\n'
    )
    (tmp_path / "wiki_00").write_text(text, "utf-8")
    corpus = build_from(tmp_path / "wiki_00", tmp_path / "cache", min_characters=5)
    assert everything(corpus) == sorted(
        ["밤은 해가 진 뒤의 시간(夜, 1929년 ~ )을 말한다.", "낮은 그 반대 이다.", "그는 집에 갔다."]
    )
    assert corpus.report["dropped"]["heading"] == 1
    assert corpus.report["dropped"]["formula"] == 1
    assert corpus.report["documents"] == 1


# Errors


def write_bytes(name: str, content: bytes):
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


GOOD = as_jsonl(SENTENCES[:50])
BAD_INPUTS = {
    "missing": (lambda folder: folder / "none.txt", "does not exist"),
    "extension": (write_bytes("a.docx", b"x"), r"a\.docx has an unknown extension: use \.txt"),
    "empty folder": (lambda folder: (folder / "empty").mkdir() or folder / "empty", "holds no file"),
    "no known file": (lambda folder: write_bytes("a.md", b"x")(folder).parent, r"only such as a\.md"),
    "empty glob": (lambda folder: folder / "*.txt", "holds no file"),
    "empty file": (write_bytes("a.txt", b""), r"no usable sentence \(0 lines read"),
    "empty csv": (write_bytes("a.csv", b""), "no usable sentence"),
    "blank": (write_bytes("a.txt", b" \n\n\t\n"), "no usable sentence"),
    "junk": (write_bytes("a.txt", b"1234567890 1234567890\n"), "dropped: 1 script"),
    "utf-8": (
        write_bytes("a.txt", "가나다\n라마".encode() + b"\xb0\xa1\n"),
        r"a\.txt line 2, byte 7 is not UTF-8 \(0xb0\)",
    ),
    "utf-8 packed": (
        write_bytes("a.csv.gz", gzip.compress(b"text\n\xff\n")),
        r"a\.csv\.gz line 2, byte 1 is not",
    ),
    "utf-16": (
        write_bytes("a.tsv", "text\n가나".encode("utf-16")),
        "line 1 is not UTF-8 but looks like UTF-16",
    ),
    "column": (
        write_bytes("a.csv", b"id,body\n1,x\n"),
        r"a\.csv has no column text: set column to one of id, body",
    ),
    "column tsv": (write_bytes("a.tsv", b"id\tbody\n1\tx\n"), "one of id, body"),
    "column jsonl": (write_bytes("a.jsonl", b'{"id": 1, "body": "x"}\n'), "one of id, body"),
    "column parquet": (
        write_bytes("a.parquet", as_parquet(["x"]).replace(b"text", b"bod2")),
        "one of id, bod2",
    ),
    "utf-8 parquet": (
        write_bytes("a.parquet", as_parquet(pa.array([b"abcdefg\xff"]).view(pa.string()))),
        "not UTF-8 from its byte 8 on",
    ),
    "deep json": (write_bytes("a.jsonl", b"[" * 200_000), "line 1 is not JSON"),
    "numbers": (write_bytes("a.jsonl", b'{"text": 7}\n'), "line 1 holds int, not text"),
    "not json": (write_bytes("a.jsonl", GOOD + b"{oops\n"), r"a\.jsonl line 51 is not JSON"),
    "not an object": (write_bytes("a.jsonl", b"[1]\n"), "line 1 is not a JSON object"),
    "ragged": (write_bytes("a.tsv", b"id\ttext\n1\tx\n2\n"), "line 3 has 1 columns, its header has 2"),
    "open quote": (write_bytes("a.csv", b'text\n"abc\n'), r"a\.csv line \d is not CSV"),
    "cut gz": (write_bytes("a.jsonl.gz", gzip.compress(GOOD)[:-20]), "cannot be read"),
    "cut xz": (write_bytes("a.jsonl.xz", lzma.compress(GOOD)[:-20]), "cannot be read"),
    "cut bz2": (write_bytes("a.jsonl.bz2", bz2.compress(GOOD)[:-20]), "cannot be read"),
    "cut zst": (write_bytes("a.jsonl.zst", PACKERS[".zst"](GOOD)[:-20]), "cannot be read"),
    "no zst": (write_bytes("a.jsonl.zst", GOOD), "cannot be read"),
    "no gz": (write_bytes("a.jsonl.gz", GOOD), "cannot be read"),
    "no parquet": (write_bytes("a.parquet", GOOD), "cannot be read"),
    "cut parquet": (write_bytes("a.parquet", as_parquet(SENTENCES)[:-30]), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_one_line_naming_it_and_nothing_is_written(tmp_path, case):
    (tmp_path / "in").mkdir()
    make, message = BAD_INPUTS[case]
    path = make(tmp_path / "in")
    with pytest.raises(XPTError, match=message) as caught:
        build_from(path, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    sources = find_sources((str(path),))
    text_of(path, SENTENCES * 2)
    monkeypatch.setattr(build, "find_sources", lambda *_: sources)
    with pytest.raises(XPTError, match=r"a\.txt changed while it was read"):
        build_from(path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpus": ()}, "corpus is empty"),
        ({"split_by": "page"}, "split_by is 'page'"),
        ({"train_sentences": 0}, "train_sentences is 0"),
        ({"min_characters": 9, "max_characters": 8}, "max_characters 8"),
        ({"splitter": "magic"}, "splitter is 'magic': use one of sentencex, phrases, lines"),
    ],
)
def test_bad_settings_are_refused(tmp_path, options, message):
    with pytest.raises(XPTError, match=message):
        build_corpus(CorpusSettings(**{"corpus": (str(tmp_path),), **options}), tmp_path / "cache", False)


def test_one_document_cannot_be_split_by_document(tmp_path):
    path = text_of(tmp_path / "a.txt", SENTENCES[:20])
    texts = []
    for seed in range(200):
        try:
            build_from(path, tmp_path / "cache", split_by="document", split_seed=seed)
        except XPTError as error:
            texts.append(str(error))
            break
    assert texts and "1 documents, split by document" in texts[0]
