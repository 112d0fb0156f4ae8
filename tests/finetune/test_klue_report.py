"""The page of mistakes: texts keep every letter, marks are in place, counts are of all examples."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import klue_files
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_klue import main
from xpt.finetune.judgment import Judgment, Mark, Passage, around, tagged
from xpt.finetune.klue.tasks import TASKS
from xpt.finetune.report import LENGTH_BINS, MISTAKES, by_length, confusion, render_report, worst

EVIL = '<script src="http://x">&amp;</script>'
RESULTS = {
    "model": {"name": EVIL}, "reported_as": "nli", "data": {"validation": {"whole": True}}, "seed": 1,
    "best_step": 2, "steps": 3, "metrics": {"nli/accuracy": 81.5, "nli/other": None},
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would show, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.sources, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


@st.composite
def marked(draw):
    text = draw(st.text(min_size=0, max_size=60))
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    ends = list(zip(places[::2], places[1::2], strict=False))
    return text, tuple(Mark(start, end, f"m{start}") for start, end in ends)


@given(marked(), st.integers(0, 20))
def test_a_passage_keeps_every_letter_and_marks_what_it_should(made, reach):
    text, marks = made
    pieces = list(Passage("", text, marks).pieces())
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, label in pieces if label] == [text[mark.start : mark.end] for mark in marks]
    cut, moved = around(text, marks, reach)
    assert [cut[m.start : m.end] for m in moved] == [text[m.start : m.end] for m in marks]
    assert cut.strip("…") in text and len(cut) <= len(text) + 2
    if marks:
        span = marks[-1].end - marks[0].start
        assert len(cut) <= span + 2 * reach + 2


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["PS", "LC", None])), max_size=8))
def test_tags_become_the_entities_that_they_were_made_of(parts):
    tags, entities = [], []
    for size, kind in parts:
        if kind:
            entities.append(Mark(len(tags), len(tags) + size, kind))
        tags += [f"{'I' if at else 'B'}-{kind}" if kind else "O" for at in range(size)]
    assert tagged(tags) == tuple(entities)
    # A model may begin with I, or change the kind inside: each stretch of one kind is shown once.
    assert tagged(["I-PS", "I-PS", "I-LC", "O", "I-LC"]) == (
        Mark(0, 2, "PS"),
        Mark(2, 3, "LC"),
        Mark(4, 5, "LC"),
    )


def judged(gold, answer, text="가나다", right=None):
    right = float(gold == answer) if right is None else right
    return Judgment((Passage("", text),), gold, answer, right, ((gold, answer),))


def test_the_matrix_counts_gold_in_rows_and_answers_in_columns():
    found = confusion([judged("a", "b")] * 3 + [judged("a", "a")] + [judged("b", "c")] * 2)
    assert found.labels == ("a", "b", "c") and found.left_out == 0
    assert found.counts == ((1, 3, 0), (0, 0, 2), (0, 0, 0))
    assert found.share(0, 1) == 0.75 and found.share(2, 0) == 0
    many = confusion([judged(f"{n:02}", f"{n:02}") for n in range(45)])
    assert len(many.labels) == 40 and many.left_out == 5
    assert confusion([Judgment((), "", "", 1.0)]) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=60))
def test_every_example_is_in_one_group_of_its_length(examples):
    judgments = [judged("", "", "가" * length, right) for length, right in examples]
    bins = by_length(judgments)
    assert sum(one.count for one in bins) == len(examples) and len(bins) <= LENGTH_BINS
    assert all(one.longest <= other.shortest for one, other in pairwise(bins))
    mean = sum(right for _, right in examples) / len(examples)
    assert sum(one.right * one.count for one in bins) / len(examples) == pytest.approx(mean)


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])), max_size=40))
def test_the_surest_mistakes_come_first_and_nothing_right_is_among_them(answers):
    judgments = [judged("a", "b", right=right) for _, right in answers]
    found = worst([str(n) for n in range(len(answers))], judgments, [sure for sure, _ in answers])
    wrong = sorted((sure for sure, right in answers if right < 1), reverse=True)
    assert [mistake.confidence for mistake in found] == wrong[:MISTAKES]
    assert all(answers[int(mistake.name)][0] == mistake.confidence for mistake in found)


def test_what_stands_in_texts_and_names_is_shown_and_never_run():
    passage = Passage(EVIL, f"{EVIL}와 {EVIL}", (Mark(0, len(EVIL), EVIL),))
    judgment = Judgment((passage,), EVIL, EVIL, 0.25, ((EVIL, "b"),))
    page = Page(render_report(RESULTS, [EVIL], [judgment], [0.875]))
    assert not page.sources and not {"script", "img", "iframe", "link"} & set(page.tags)
    shown = "".join(page.words)
    assert shown.count(EVIL) >= 7 and "87.5 % sure" in shown and "25 % right" in shown
    assert "81.50" in shown and "undefined" in shown


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[pytest.mark.slow] * (task not in ("ner", "mrc"))) for task in TASKS]
)
def test_each_task_shows_its_own_mistakes(task, xpt_checkpoint, tmp_path):
    """After one step nearly all is wrong; what is shown is what predictions.jsonl holds."""
    file = klue_files.write(tmp_path, task, 12)
    flags = {
        "model_name_or_path": xpt_checkpoint, "task": task, "train_file": file, "validation_file": file,
        "output_dir": tmp_path / "run", "num_train_epochs": 0.1, "evaluations_per_epoch": 1,
        "max_seq_length": 64, "bf16": "false",
    }  # fmt: skip
    assert main([token for name, value in flags.items() for token in (f"--{name}", str(value))]) == 0
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.sources and "url(" not in text and "@import" not in text
    lines = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    keys = {" ".join(str(line[field]) for field in ("guid", "turn") if field in line) for line in lines}
    named = re.findall(r"<article>\s*<header><span>(.*?)</span>", text)
    assert named and set(named) <= keys and len(named) == len(set(named)) <= MISTAKES
    sure = [float(value) for value in re.findall(r"([\d.]+) % sure", text)]
    assert sure == sorted(sure, reverse=True) and all(0 < value <= 100 for value in sure)
    assert ("What is taken for what" in text) == (task not in ("mrc", "wos"))
    counted = sum(int(number.replace(",", "")) for number in re.findall(r">([\d,]+) examples<", text))
    assert counted == len(lines)
