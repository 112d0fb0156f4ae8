"""Where examples come from: official files, whole or in part; and what is said of bad ones."""

import json
import lzma
import unicodedata

import klue_files
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpt.finetune.data import chosen_examples, find_file, first_examples, make_split, read_file
from xpt.finetune.klue.official import tsv_records
from xpt.finetune.klue.tasks import TASKS, make_task
from xpt.program.errors import XPTError

SIMPLE = ("ynat", "sts", "nli")
PAIR = b'[{"guid": "a", "premise": "b", "hypothesis": "c"%s}]'


def written(folder, task, text, name=None):
    kind = make_task(task)
    path = folder / (name or f"{kind.folder}_dev{kind.suffix}")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("task", TASKS)
def test_a_file_is_read_the_same_plain_packed_and_with_a_byte_order_mark(task, tmp_path):
    text = klue_files.MAKERS[task](9)
    plain = written(tmp_path, task, text)
    packed = plain.with_name(f"{plain.name}.xz")
    packed.write_bytes(lzma.compress(text.encode()))
    first, second = (read_file(make_task(task), path, "validation") for path in (plain, packed))
    plain.write_text("\ufeff" + text, encoding="utf-8")
    assert read_file(make_task(task), plain, "validation") == first
    assert first.examples == second.examples and first.sha256 == second.sha256
    assert first.used == 9 and not first.is_whole and first.official == make_task(task).sizes["validation"]
    assert len({example.key for example in first.examples}) == len(first.examples)


@pytest.mark.parametrize("task", TASKS)
def test_an_example_that_stands_twice_is_named(task, tmp_path):
    split = read_file(make_task(task), written(tmp_path, task, klue_files.MAKERS[task](3)), "train")
    with pytest.raises(XPTError, match=f"{split.examples[1].guid}.* stands in it twice"):
        make_split(make_task(task), "train", [*split.examples, split.examples[1]], "x.json")
    with pytest.raises(XPTError, match=f"holds no examples of {task}"):
        make_split(make_task(task), "train", [], "x.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{]", "line 1: not readable as JSON"),
        (b'[\n\n{"guid": "\xff"}]', "line 3: is not UTF-8"),
        (b'{"guid": "a"}', "holds no list of examples"),
        (b'[7, {"guid": "a"}]', "entry 0 is no object"),
        (PAIR % b"", "a: has no field 'gold_label'"),
        (PAIR % b', "gold_label": "neutral", "premise": 3', "a: the field 'premise' is 3"),
        (PAIR % b', "gold_label": "maybe"', "a: unknown label 'maybe'"),
        (PAIR % b', "gold_label": "neutral", "premise": "\\ud83d"', "'premise' holds half a character"),
        (b"[" * 100_000, "not readable as JSON"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_named_with_line_or_guid(content, message, tmp_path):
    path = tmp_path / "klue-nli-v1.1_dev.json"
    path.write_bytes(content)
    with pytest.raises(XPTError) as error:
        read_file(make_task("nli"), path, "train")
    assert message in str(error.value) and path.name in str(error.value) and "\n" not in str(error.value)


def test_a_cut_archive_and_a_missing_file_are_named(tmp_path):
    whole = lzma.compress(klue_files.nli(40).encode())
    (tmp_path / "a.json.xz").write_bytes(whole[:-20])
    with pytest.raises(XPTError, match=r"a\.json\.xz: is no whole .xz file"):
        read_file(make_task("nli"), tmp_path / "a.json.xz", "train")
    with pytest.raises(XPTError, match=r"b\.json: cannot be read"):
        read_file(make_task("nli"), tmp_path / "b.json", "train")


entry = st.dictionaries(
    st.sampled_from("guid title label premise hypothesis gold_label sentence1 sentence2 labels".split()),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5),
              st.sampled_from(["neutral", "정치"]),
              st.dictionaries(st.sampled_from(["real-label"]), st.floats())),
)  # fmt: skip


@given(st.sampled_from(SIMPLE), st.lists(entry, max_size=3))
def test_any_other_json_is_an_error_of_one_kind(task, entries):
    kind = make_task(task)
    try:
        records = list(kind.records(json.dumps(entries), "x.json"))
        examples = [example for record in records for example in kind.examples(record)]
    except XPTError as error:
        assert "x.json" in str(error)
    else:
        assert len(examples) == len(entries) and all(isinstance(each.guid, str) for each in examples)


# ---- .tsv ------------------------------------------------------------------------------------------------

characters = st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"])
sentence = st.lists(st.tuples(characters, st.sampled_from("OBI")), min_size=1, max_size=6)


@given(
    st.lists(sentence, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\t"])
)
def test_blocks_keep_every_row_whatever_its_character(sentences, newline, between):
    blocks = [
        newline.join([f"## id-{n}\ttext {n}", *(f"{a}\t{b}" for a, b in rows)])
        for n, rows in enumerate(sentences)
    ]
    comments = newline.join(["## separator : \\t", "## columns : CHAR\tTAG", ""])
    text = comments + f"{newline}{between}{newline}".join(blocks) + newline
    found = [record.value for record in tsv_records(text, "x.tsv", 2)]
    assert [(block.guid, block.text) for block in found] == [
        (f"id-{n}", f"text {n}") for n in range(len(blocks))
    ]
    assert [[tuple(row) for row in block.rows] for block in found] == sentences
    for block in found:
        assert text.split(newline)[block.line - 1].startswith(f"## {block.guid}\t")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("가\tO\n", "line 1: a row before its sentence's"),
        ("## a\tb\n가\tO\n나\n", "line 3: 1 columns instead of 2"),
        ("## a\tb\n가\tO\n\n## c\td\n\n", "c: has no rows"),
        ("## a\tb\n가\tO\n\n나\tO\n", "line 4: a row before"),
    ],
)
def test_broken_blocks_are_named(text, message):
    with pytest.raises(XPTError, match=message):
        list(tsv_records(text, "x.tsv", 2))


# ---- which file, which part ------------------------------------------------------------------------------


def test_a_split_is_found_by_its_official_name_or_as_the_only_part_of_it(tmp_path):
    task = make_task("nli")
    folder = tmp_path / task.folder
    with pytest.raises(XPTError, match="is no folder"):
        find_file(task, tmp_path / "nowhere", "train")
    folder.mkdir()
    with pytest.raises(XPTError, match=r"has no klue-nli.*; give --validation_file"):
        find_file(task, tmp_path, "validation")
    part = folder / "klue-nli-v1.1_dev.first9.json.xz"
    part.touch()
    assert find_file(task, tmp_path, "validation") == find_file(task, folder, "validation") == part
    (folder / "klue-nli-v1.1_dev.other.json").touch()
    with pytest.raises(XPTError, match=r"which of .*first9.*, .*other"):
        find_file(task, tmp_path, "validation")
    packed = folder / "klue-nli-v1.1_dev.json.xz"
    packed.touch()
    assert find_file(task, tmp_path, "validation") == packed


def test_a_part_is_chosen_by_seed_once_and_described_as_one(tmp_path):
    split = read_file(make_task("nli"), written(tmp_path, "nli", klue_files.nli(40)), "train")
    one, same, other = (chosen_examples(split, 10, seed) for seed in (0, 0, 1))
    assert one == same and one.examples != other.examples and one.sha256 != split.sha256
    positions = [split.examples.index(example) for example in one.examples]
    assert positions == sorted(positions) and len(set(positions)) == 10
    assert first_examples(split, 3).examples == split.examples[:3]
    assert chosen_examples(split, 99, 0) is split and first_examples(split, None) is split
    described = one.describe()
    assert (described["records"], described["official_records"], described["whole"]) == (10, 24_998, False)


def test_data_that_are_not_of_the_release_are_warned_of(tmp_path):
    text = klue_files.ner(4)
    now = read_file(make_task("ner"), written(tmp_path, "ner", text), "validation")
    assert now.warnings == ()
    old = written(tmp_path, "ner", unicodedata.normalize("NFKC", text).replace("\n은\t", "\n㈜\t"))
    assert "4 sentences are not NFKC" in read_file(make_task("ner"), old, "validation").warnings[0]
    named = written(tmp_path, "nli", klue_files.nli(3), "klue-nli-v1_dev.json")
    assert "is of v1, and" in read_file(make_task("nli"), named, "validation").warnings[0]
