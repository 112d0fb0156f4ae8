"""Tab-separated values: quotes that are text, quotes as pandas writes them, and what is neither."""

import csv
import io

import pandas
import pytest
from corpus_files import SENTENCES, build_from, everything
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xpt.corpus.documents import Document
from xpt.corpus.sources import find_sources
from xpt.corpus.tables import read_tsv
from xpt.errors import XPTError

SAID = '그는 "좋다"고 나에게 말했다.'


def read(folder, content: str, column: str | None = None) -> list[Document]:
    path = folder / "a.tsv"
    path.write_bytes(content.encode())
    (source,) = find_sources((str(path),))
    with open(path, "rb") as stream:
        return list(read_tsv(source, stream, column))


def texts(documents: list[Document]) -> list[list[str]]:
    return [document.lines for document in documents if document.remark is None]


def remarks(documents: list[Document]) -> list[str]:
    return [document.remark for document in documents if document.remark is not None]


CELLS = st.text(st.sampled_from('가나 "\t\n,.a'), max_size=12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@example([(SAID, "1")], csv.QUOTE_MINIMAL)
@example([('"', "가\n나")], csv.QUOTE_MINIMAL)
def test_what_pandas_writes_is_read_as_it_was(tmp_path, rows, quoting):
    out = io.StringIO()
    table = pandas.DataFrame([*rows, (SAID, "x")], columns=["text", "label"])
    table.to_csv(out, sep="\t", index=False, quoting=quoting)
    read_back = read(tmp_path, out.getvalue())
    wanted = [text for text, label in rows if text or label] + [SAID]
    assert texts(read_back) == [text.splitlines() for text in wanted]
    assert remarks(read_back) == []


RAW = st.text(st.sampled_from('가나 ".,a'), max_size=12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(RAW, RAW), max_size=8))
@example([('""', '"가"')])
@example([('"그는 ""좋다""고"', "1")])
@example([('"그는 ""좋다""고"', '"')])
def test_quotes_that_are_text_stay_where_one_row_shows_it(tmp_path, rows):
    rows = [*rows, (SAID, "1")]  # no writer leaves such a cell without quotes around it
    read_back = read(tmp_path, "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    assert texts(read_back) == [[text] if text else [] for text, label in rows if text or label]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quoted_cells_from_the_command_line_on(tmp_path, end):
    lines = ["id\ttext", f"1\t{SENTENCES[0]}", '2\t"그는 ""좋다""고 나에게 말했다."']
    lines += [f'3\t"{SENTENCES[1]}', f'{SENTENCES[2]}"', f'4\t"{SENTENCES[3]}\t{SENTENCES[4]}"']
    (tmp_path / "a.tsv").write_bytes("".join(f"{line}{end}" for line in lines).encode())
    corpus = build_from(tmp_path / "a.tsv", tmp_path / "cache")
    assert everything(corpus) == sorted([SAID, *SENTENCES[:5]])


UNSURE = {
    "all in quotes": ['"서울에 사는 학생이다."', "부산에 사는 의사이다."],
    "both": ['"그는 ""좋다""고 말했다."', SAID],
}


@pytest.mark.parametrize("case", UNSURE)
def test_where_it_is_not_sure_quotes_are_text_and_the_user_is_told(tmp_path, case):
    rows = UNSURE[case]
    found = read(tmp_path, "text\tlabel\n" + "".join(f"{row}\t1\n" for row in rows))
    assert texts(found) == [[row] for row in rows]
    (remark,) = remarks(found)
    assert remark.startswith(f"{tmp_path / 'a.tsv'} has cells in quotes from line 2 on, as pandas")
    assert remark.endswith("are read as text: if they are not, write it as .csv or .jsonl")


def test_one_column_of_quoted_lines_is_not_sure(tmp_path):
    found = read(tmp_path, f'text\n"{SENTENCES[0]}\n{SENTENCES[1]}"\n')
    assert texts(found) == [[f'"{SENTENCES[0]}'], [f'{SENTENCES[1]}"']]
    assert len(remarks(found)) == 1


def test_a_quote_that_is_never_closed_is_text(tmp_path):
    rows = [f'{number}\t"{line}' for number, line in enumerate(SENTENCES[:50])]
    found = read(tmp_path, "id\ttext\n" + "".join(f"{row}\n" for row in rows))
    assert texts(found) == [[f'"{line}'] for line in SENTENCES[:50]] and remarks(found) == []


def test_a_row_that_breaks_its_files_own_quoting_is_named(tmp_path):
    rows = ['1\t"그는 ""좋다""고 말했다."\n', *[f"{number}\t{SENTENCES[0]}\n" for number in range(2, 60_000)]]
    with pytest.raises(
        XPTError, match=r"a\.tsv line 60001 is not TSV with quotes as its first ones show them"
    ):
        read(tmp_path, "".join(["id\ttext\n", *rows, '60000\t"열린 채로 "남은 따옴표\n']))


def test_a_ragged_row_says_what_to_do(tmp_path):
    with pytest.raises(
        XPTError, match=r"line 3 has 1 columns, its header has 2: write it as \.jsonl, if a text"
    ):
        read(tmp_path, "id\ttext\n1\t첫째 줄\n둘째 줄\n")


@pytest.mark.parametrize("content", ["", "\n", "text\n", '"text"\n', '"'])
def test_tables_without_rows_hold_nothing(tmp_path, content):
    try:
        assert texts(read(tmp_path, content)) == []
    except XPTError as error:
        assert "has no column text" in str(error)
