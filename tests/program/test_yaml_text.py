"""YAML by version 1.2's core schema, as written where the option says what a value is."""

import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from xpt.finetune.command import make_parser as klue_parser
from xpt.program.errors import XPTError
from xpt.program.yaml_text import dump, read_entries
from xpt.recipe.command_line import read_recipe

# name, as a recipe has it, what the option becomes
OPTIONS = [
    ("source", "source_revision", "1.10", "1.10"),
    ("source", "source_revision", "0123456", "0123456"),
    ("source", "source_revision", "1234567e8", "1234567e8"),
    ("source", "source_revision", "12:30", "12:30"),
    ("source", "source_revision", "2026-1-1", "2026-1-1"),
    ("source", "source_revision", "on", "on"),
    ("source", "source_revision", "0x10", "0x10"),
    ("source", "source_revision", "null", None),
    ("source", "source_revision", "~", None),
    ("source", "source_revision", "", None),
    ("source", "source_revision", "'null'", "null"),
    ("corpus", "language", "no", "no"),
    ("corpus", "language", "'no'", "no"),
    ("corpus", "corpus", "[no, 1.10, 0123]", ["no", "1.10", "0123"]),
    ("corpus", "corpus", "12:30", ["12:30"]),
    ("corpus", "corpus_column", "y", "y"),
    ("corpus", "train_sentences", "4_000_000", 4_000_000),
    ("corpus", "train_sentences", "010", 10),
    ("corpus", "near_duplicates", "yes", True),
    ("corpus", "near_duplicates", "no", False),
    ("corpus", "near_duplicates", "TRUE", True),
    ("training", "eval_strategy", "no", "no"),
    ("training", "learning_rate", "1e-4", 1e-4),
    ("training", "learning_rate", ".5", 0.5),
    ("training", "learning_rate", "1.10", 1.1),
    ("training", "lr_scheduler_kwargs", "{min_lr: 1e-5, end: off}", {"min_lr": 1e-5, "end": "off"}),
    ("training", "output_dir", "2026_11_30", "2026_11_30"),
]


@pytest.mark.parametrize(("part", "name", "written", "value"), OPTIONS)
def test_an_option_is_what_is_written(tmp_path, part, name, written, value):
    more = "corpus: [a.txt]\n" if name not in ("corpus", "near_duplicates") else ""
    (tmp_path / "r.yaml").write_text(f"{more}{name}: {written}\n")
    recipe = read_recipe([str(tmp_path / "r.yaml")])
    read = getattr(getattr(recipe, part), name)
    assert getattr(read, "value", read) == value and type(getattr(read, "value", read)) is type(value)


def test_what_fine_tuning_reads_is_read_the_same_way(tmp_path):
    (tmp_path / "r.yaml").write_text("model_revision: 1.10\nmodel_name_or_path: 0123\nlearning_rate: 1e-4\n")
    parser = klue_parser()
    given = parser.read([str(tmp_path / "r.yaml")], lambda name: tmp_path / name)
    found = {name: value for part in given.parts for name, value in vars(part).items()}
    assert (found["model_revision"], found["model_name_or_path"]) == ("1.10", "0123")
    assert found["learning_rate"] == 1e-4


def test_names_in_phases_stay_as_written_and_numbers_are_numbers(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "phases:\n"
        "- &first {name: no, train: [lora, itl], steps: 3, learning_rate: 1e-4, lora: {r: 4, merge: true}}\n"
        "- {<<: *first, name: 1_10, steps: 30_000, learning_rate: 0.5}\n"
        "- {<<: *first, name: 0123, steps: 012, learning_rate: 5}\n"
    )
    phases = read_recipe([str(tmp_path / "r.yaml")]).planned_phases()
    assert [(one.name, one.steps, one.learning_rate) for one in phases] == [
        ("no", 3, 1e-4),
        ("1_10", 30_000, 0.5),
        ("0123", 12, 5.0),
    ]
    assert phases[0].lora.r == 4 and phases[0].lora.merge is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "seed stands there twice .* line 2"),
        ("seed: !!int ten\n", "not readable as YAML: invalid literal"),
        ("seed: !own 3\n", "could not determine a constructor for the tag '!own'"),
        ("[seed]: 3\n", "not readable as YAML: a name is no text"),
        ("seed: *none\n", "undefined alias"),
        ("no: 3\n", "unknown option 'no'"),
        ("near_duplicates: off\n", "Truthy value expected: got off"),
        ("seed: 1.10\n", "invalid int value: '1.10'"),
        ("- a\n", "a recipe is a list of `name: value`"),
        ("", "a recipe is a list of `name: value`"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(XPTError, match=message) as caught:
        read_recipe([str(tmp_path / "r.yaml")])
    assert "\n" not in str(caught.value)


LETTERS = st.text("0123456789.:_-+exonyftruabNOE~<[]#& ", max_size=8)
TRICKY = [
    "no",
    "on",
    "1e5",
    "0o17",
    "0128934",
    "12:30",
    "null",
    "~",
    "",
    "1_000",
    "0x1F",
    ".inf",
    "<<",
    "=",
    "y",
]


@pytest.mark.parametrize("text", TRICKY)
def test_a_written_word_is_read_back_by_either_version(text):
    written = dump({"language": text})
    assert yaml.safe_load(written) == {"language": text}
    assert read_entries(written, ("language",)) == {"language": text}


@given(st.lists(LETTERS | st.text(max_size=5), max_size=3))
@example(["1234567e8", "0012"])
def test_any_text_is_read_back_by_either_version(texts):
    written = dump({"texts": texts})
    assert yaml.safe_load(written) == read_entries(written, ("texts",)) == {"texts": texts}


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_numbers_written_are_numbers_to_either_version(value):
    written = dump([{"value": value}])
    assert yaml.safe_load(written) == [{"value": value}]
    assert read_entries(f"outer: {{inner: {dump(value).splitlines()[0]}}}") == {"outer": {"inner": value}}
    assert re.fullmatch(r"- value: \S+\n", written)
