"""KoBEST's tables and the Hub's rows become the same examples, whatever traps they hold."""

import datasets
import kobest_files
import pytest
from datasets import Dataset
from hub_datasets import hub_folder
from kobest_files import FILES, LEAK, MAKERS, QUOTED

from xpt.finetune.data import find_file, read_file
from xpt.finetune.hub import read_hub
from xpt.finetune.kobest.tasks import KOBEST
from xpt.finetune.label_scores import CHANCE, CONSTANT
from xpt.program.errors import XPTError

SPLITS = ("train", "validation", "test")
COUNT = 9


def read(task, folder, split, count=COUNT):
    kobest_files.write(folder, task, {split: count})
    made = KOBEST.make_task(task)
    return read_file(made, find_file(made, folder, split), split)


def texts_of(example):
    fields = [value for name, value in vars(example).items() if name not in ("guid", "label")]
    return [text for value in fields for text in (value if isinstance(value, tuple) else (value,)) if text]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", MAKERS)
def test_columns_are_found_by_name_and_labels_by_any_spelling(task, split, tmp_path):
    """Labels come by turns, so that a column taken for another, or a lost spelling, shows."""
    found = read(task, tmp_path, split)
    labels = KOBEST.tasks[task].labels
    expected = [labels[(n + (task in ("boolq", "wic"))) % len(labels)] for n in range(COUNT)]
    assert [example.label for example in found.examples] == expected
    assert [example.guid for example in found.examples] == [f"{task}-{n:05d}" for n in range(COUNT)]
    assert not found.is_whole and found.official == KOBEST.tasks[task].sizes[split]
    for number, example in enumerate(found.examples):
        texts = texts_of(example)
        assert texts and all(text == text.strip() and len(text) > 8 for text in texts)
        assert any(text.startswith('"') for text in texts) == (number == QUOTED)


@pytest.mark.parametrize("split", SPLITS)
def test_the_dictionary_of_wic_and_the_review_before_negation_are_in_no_example(split, tmp_path):
    wic = read("wic", tmp_path, split)
    assert LEAK in kobest_files.wic(COUNT) and not any(LEAK in str(example) for example in wic.examples)
    # What stands beside the answer changes nothing: the same examples without those columns.
    lines = [line.split("\t") for line in kobest_files.wic(COUNT, FILES[split]).split("\r\n")]
    kept = [place for place, name in enumerate(lines[0]) if not name.startswith(("Dictionary", "Link"))]
    path = tmp_path / "wic_bare.tsv"
    path.write_text("\n".join("\t".join(line[place] for place in kept) for line in lines), encoding="utf-8")
    assert read_file(KOBEST.make_task("wic"), path, split).sha256 == wic.sha256
    reviews = kobest_files.sentineg(COUNT, "test").split("\r\n")
    before = [line.split("\t")[2] for line in reviews[1:]]
    shown = {text for example in read("sentineg", tmp_path, "test").examples for text in texts_of(example)}
    assert len(before) == COUNT and not shown & set(before)


HUB = {
    "boolq": ("paragraph", "question"),
    "copa": ("premise", "question", "alternative_1", "alternative_2"),
    "hellaswag": ("context", "ending_1", "ending_2", "ending_3", "ending_4"),
    "sentineg": ("sentence",),
    "wic": ("context_1", "context_2"),
}
OFFICIAL = {
    "boolq": ("Text", "Question"),
    "copa": ("sentence", "question", "1", "2"),
    "hellaswag": ("context", "choice1", "choice2", "choice3", "choice4"),
    "sentineg": ("Text",),
    "wic": ("SENTENCE1", "SENTENCE2"),
}


@pytest.mark.parametrize("named", [False, True], ids=["numbers", "class labels"])
@pytest.mark.parametrize("task", MAKERS)
def test_rows_of_the_hub_become_the_examples_of_the_tables(task, named, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    official = read(task, tmp_path / "files", "test")
    made = KOBEST.make_task(task)
    lines = [line.split("\t") for line in MAKERS[task](COUNT, "test").splitlines()]
    columns = {
        hub: [line[lines[0].index(own)] for line in lines[1:]]
        for hub, own in zip(HUB[task], OFFICIAL[task], strict=True)
    }
    columns["label"] = [made.labels.index(example.label) for example in official.examples]
    data = Dataset.from_dict({**columns, "word": [LEAK] * COUNT})
    if named:
        data = data.cast_column("label", datasets.ClassLabel(names=list(made.labels)))
    found = read_hub(made, hub_folder(tmp_path / "hub", task, {"test": data}), None, "test")
    assert found.examples == official.examples and found.sha256 == official.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("Answer", "Label", 1), "line 1: has no column 'Answer'"),
        (lambda text: text.replace("TRUE", "maybe", 1), "line 4: unknown label 'maybe'"),
        (lambda text: text + "\tmore", "line 10: 5 columns instead of 4"),
        (lambda text: text.replace(text.split("\t")[5], "  ", 1), "line 2: the field 'Question' is empty"),
        (lambda text: "", "line 1: has no column"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(change, said, tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text(change(kobest_files.boolq(COUNT)), encoding="utf-8")
    with pytest.raises(XPTError) as error:
        read_file(KOBEST.make_task("boolq"), path, "validation")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_question_of_copa_asks_for_cause_or_result(tmp_path):
    causes, results = set(), set()
    for example in read("copa", tmp_path, "train").examples:
        number = int(example.guid[-5:])
        (causes if number // 2 % 2 == 0 else results).add(example.context.rsplit(" ", 1)[1])
    assert (causes, results) == ({"왜냐하면"}, {"그래서"})
    path = tmp_path / "dev.tsv"
    path.write_text(kobest_files.copa(COUNT).replace("결과 ", "결말"), encoding="utf-8")
    with pytest.raises(XPTError, match="the question is '결말', none of 원인, 결과"):
        read_file(KOBEST.make_task("copa"), path, "validation")


# Shares of the labels in the official test sets, and what accuracy and macro F1 of the most frequent one are.
MAJORITIES = {
    "boolq": ((699, 705), 0.502, 0.334),
    "copa": ((517, 483), 0.517, 0.341),
    "hellaswag": ((124, 137, 121, 118), 0.274, 0.108),
    "sentineg": ((197, 200), 0.504, 0.335),
    "wic": ((645, 615), 0.512, 0.339),
}


@pytest.mark.parametrize("task", MAKERS)
def test_the_constant_answer_scores_as_counted_by_hand(task):
    made, (counts, accuracy, f1) = KOBEST.make_task(task), MAJORITIES[task]
    gold = [label for label, count in zip(made.labels, counts, strict=True) for _ in range(count)]
    baselines = made.baselines([type("Labelled", (), {"label": label}) for label in gold])
    constant, chance = (list(baselines[name].values()) for name in (CONSTANT, CHANCE))
    assert constant == pytest.approx([100 * accuracy, 100 * f1], abs=0.1)
    assert chance == pytest.approx([100 / len(counts)] * 2, abs=0.1)
    assert len(gold) == made.sizes["test"]
