"""`xpt evaluate --check_overlap`: what is planted is found, with its line; what is not there is not."""

import json

import klue_files
import kobest_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpt.command import main
from xpt.evaluate.overlap import BLOCK, ItemIndex, letters

ITEM = (
    "오늘은 아침부터 비가 많이 내려서 (강가의) 산책로가 모두 물에 잠겼고, 사람들은 다른 길로 돌아서 출근했다."
)
OTHER = "도서관에는 조용히 책을 읽는 사람들이 많았다."


@pytest.fixture
def search(tmp_path):
    """Give `search(text, **options)` the exit code and what was stored, of COPA items that are made up."""
    rows = [
        ("1", ITEM, "원인", "상류의 댐이 수문을 열었기 때문이다.", OTHER, "1"),
        ("2", "짧다", "결과", "응", "네", "2"),
    ]
    names = ("ID", "sentence", "question", "1", "2", "Answer")
    table = "\n".join("\t".join(cells) for cells in [names, *rows])
    (tmp_path / "data" / "COPA").mkdir(parents=True)
    (tmp_path / "data" / "COPA" / "test.tsv").write_text(table, encoding="utf-8")

    def call(text, **options):
        (tmp_path / "text.txt").write_text(text, encoding="utf-8")
        flags = {"task": "copa", "data_dir": tmp_path / "data", "output_dir": tmp_path / "out", **options}
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        code = main(["evaluate", "--check_overlap", str(tmp_path / "text.txt"), *words])
        stored = tmp_path / "out" / "overlap.json"
        return code, json.loads(stored.read_text("utf-8")) if stored.exists() else None

    return call


def test_a_planted_item_is_found_however_it_is_spaced_and_the_line_is_named(search, capsys):
    spaced = ITEM.replace(" ", "").replace(",", " ").replace("(", "").replace(")", "")
    code, found = search(f"첫 줄은 아무 상관이 없다.\n\n둘째 줄도 그렇다. 그리고 {spaced} 끝.\n셋째 줄.")
    assert code == 1
    (item,) = found["items"]
    assert (item["guid"], item["copied"], item["texts"]) == ("copa-00000", 1, 3)
    assert item["lines"][0]["line"] == 2 and spaced in item["lines"][0]["holds"]
    assert found["too_short"] == 1
    shown = capsys.readouterr().out
    assert "| copa | 2 | 0 | 1 | 0 |" in shown and "line 2 with text: 둘째 줄도" in shown


def test_clean_text_gives_0_and_a_part_is_a_part(search, capsys):
    code, found = search("아무 것도 아닌 글이다. 오늘은 아침부터 날이 맑았다.\n" * 3)
    assert (code, found["items"]) == (0, [])
    code, found = search(f"{ITEM[:45]} 그리고 다르게 끝난다.")
    assert code == 0 and found["items"][0]["copied"] == 0 and 0 < found["items"][0]["shares"][0] < 0.8
    assert "| copa | 2 | 0 | 0 | 1 |" in capsys.readouterr().out


def test_what_cannot_be_is_said_in_one_line(search, capsys, tmp_path):
    assert search("글", model_name_or_path="x")[0] == 2
    assert "reads no model" in capsys.readouterr().err
    assert search("글", task="xnli")[0] == 2
    assert "unknown task 'xnli'" in capsys.readouterr().err
    words = ["evaluate", "--check_overlap", str(tmp_path / "none"), "--data_dir", str(tmp_path / "data")]
    assert main([*words, "--task", "copa"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1


def test_two_releases_are_searched_and_klue_is_looked_for_too(tmp_path):
    kobest_files.write(tmp_path / "kobest", "copa", {"test": 4})
    (tmp_path / "klue").mkdir()
    pairs = klue_files.nli(4)
    (tmp_path / "klue" / "klue-nli-v1.1_dev.json").write_text(pairs, encoding="utf-8")
    text, planted = tmp_path / "text.txt", json.loads(pairs)[2]
    text.write_text(f"{planted['premise']}\n", encoding="utf-8")
    words = ["evaluate", "--check_overlap", str(text), "--task", "copa", "nli", "--output_dir", str(tmp_path)]
    folders = [str(tmp_path / "kobest"), str(tmp_path / "klue")]
    assert main([*words, "--data_dir", *folders]) == 1
    found = json.loads((tmp_path / "overlap.json").read_text("utf-8"))["items"]
    assert planted["guid"] in {item["guid"] for item in found if item["copied"]}


ALPHABET = st.text("가나다라마바사아자차 .,", min_size=0, max_size=40)


@given(
    item=st.text("가나다라마바사아자차카타파하거너더러", min_size=BLOCK, max_size=160),
    before=ALPHABET,
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_whatever_shares_a_run_of_twice_a_block_is_touched(item, before, data):
    length = min(len(item), 2 * BLOCK - 1)
    start = data.draw(st.integers(0, len(item) - length))
    index = ItemIndex()
    index.add("copa", "one", [item])
    index.look_up(f"{before}{item[start : start + length]}", "text", 1)
    assert index.items[0].touched
    index = ItemIndex()
    index.add("copa", "one", [item])
    index.look_up(f"{before} {' '.join(item)}!", "text", 1)
    assert index.items[0].copied == 1


def test_letters_are_all_that_is_compared():
    assert letters("Ａ-bC_1, 가\u1102\u1161 ") == "abc1가나"
