"""Masks by schedule and whole words: the share at each step, and words that are masked as one."""

import numpy as np
import pytest
from conftest import korean_sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_tokenizers import make_tokenizer
from ready_tokenizers import wordpiece
from tiny_examples import SPECIAL, make_examples

from xpt.program.errors import XPTError
from xpt.text.encoding import EncodedSentences
from xpt.text.examples import Examples
from xpt.text.language import find_language
from xpt.text.masking import IGNORE_INDEX, MaskSchedule, MLMCollator, largest_share
from xpt.text.packing import Row, RowStream
from xpt.text.reading import PhaseRows, Reading
from xpt.text.special_tokens import SpecialIds, text_reader
from xpt.text.word_marks import word_starts

EXAMPLES = make_examples(6000, 64, mean=40)
ORDINARY = int(EXAMPLES.lengths.sum()) - 2 * len(EXAMPLES)


def chosen(collator: MLMCollator, step: int, epoch: int = 0) -> np.ndarray:
    rows = [Row(epoch, np.asarray([index]), step) for index in range(len(collator.examples))]
    return collator(rows)["labels"].numpy() != IGNORE_INDEX


# ---- schedules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "steps", "step", "share"),
    [
        (0.45, 0.15, 101, 0, 0.45),
        (0.45, 0.15, 101, 50, 0.30),
        (0.45, 0.15, 101, 100, 0.15),
        (0.10, 0.40, 4, 1, 0.20),
        (0.30, 0.15, 1, 0, 0.30),
    ],
)
def test_the_share_of_a_step_is_on_the_line_from_the_first_to_the_last(first, last, steps, step, share):
    collator = MLMCollator(EXAMPLES, MaskSchedule(first, last, steps), seed=1, packing=False)
    assert abs(chosen(collator, step).sum() / ORDINARY - share) < 0.004  # 240,000 tokens: 4 deviations


def test_masks_are_a_function_of_seed_epoch_example_and_step_and_less_is_a_part_of_more():
    falling = MLMCollator(EXAMPLES, MaskSchedule(0.45, 0.15, 11), seed=1, packing=False)
    fixed = MLMCollator(EXAMPLES, 0.3, seed=1, packing=False)
    assert (chosen(falling, 5) == chosen(fixed, 5)).all()  # the middle is 0.3
    assert (chosen(falling, 9) <= chosen(falling, 5)).all() and (chosen(fixed, 9) == chosen(fixed, 5)).all()
    mixed = falling([Row(0, np.asarray([7]), 0), Row(0, np.asarray([7]), 10)])["labels"].numpy()
    for row, step in zip(mixed, (0, 10), strict=True):
        alone = falling([Row(0, np.asarray([7]), step)])["labels"].numpy()[0]
        assert (row == alone).all()


@given(st.integers(0, 50), st.integers(1, 7), st.integers(1, 9), st.booleans())
@settings(max_examples=30, deadline=None)
def test_rows_know_the_step_that_reads_them(first_row, rows_per_step, steps, packing):
    stream = RowStream(EXAMPLES.lengths[:200], 64, packing, seed=2)
    rows = PhaseRows(Reading.of(stream, first_row), steps, rows_per_step)
    assert len(rows) == steps * rows_per_step
    assert [rows[index].step for index in range(len(rows))] == [
        step for step in range(steps) for _ in range(rows_per_step)
    ]
    assert all((rows[i].examples == stream[first_row + i].examples).all() for i in range(len(rows)))


def test_memory_is_judged_by_the_largest_share():
    assert [
        largest_share(share) for share in (0.2, MaskSchedule(0.1, 0.4, 9), MaskSchedule(0.4, 0.1, 9))
    ] == [
        *(0.2, 0.4, 0.4),
    ]


# ---- whole words -----------------------------------------------------------------------------------------


def words_and_ids(tokenizer, texts: list[str]) -> list[tuple[list[int], list[int]]]:
    """Of each text its ids, and for each of them the number of the word between blanks that it lies in.

    By the characters that a piece covers, not by its marks.
    """
    found = []
    for text in texts:
        encoding = text_reader(tokenizer).encode(text, add_special_tokens=False)
        ends = [place for place, char in enumerate(f"{text} ") if char == " "]
        words = [next(n for n, end in enumerate(ends) if stop <= end) for _, stop in encoding.offsets]
        found.append((encoding.ids, words))
    return found


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Korean without punctuation, which WordPiece takes for words of their own."""
    return [text.replace(".", "") for text in korean_sentences(400, seed=5)]


def tokenizers(tiny_tokenizer):
    return {
        "SentencePiece": tiny_tokenizer,
        "the ready one": make_tokenizer("metaspace"),
        "bytes": make_tokenizer("bytes"),
        "WordPiece": make_tokenizer("wordpiece"),
    }


@pytest.mark.parametrize("kind", ["SentencePiece", "the ready one", "bytes", "WordPiece"])
@pytest.mark.parametrize("packing", [True, False])
def test_words_are_masked_whole_and_the_share_of_tokens_is_kept(tiny_tokenizer, texts, kind, packing):
    tokenizer = tokenizers(tiny_tokenizer)[kind]
    told = words_and_ids(tokenizer, texts)
    offsets = np.cumsum([0, *(len(ids) for ids, _ in told)])
    ids = np.concatenate([ids for ids, _ in told]).astype(np.uint32)
    special = SpecialIds.of(tokenizer)
    examples = Examples(EncodedSentences(ids, offsets), special, 512)
    assert len(examples) == len(texts) and max(len(set(words)) for _, words in told) > 4
    assert sum(words.count(word) > 1 for _, words in told for word in set(words)) > 500
    masked = total = 0
    pairs = [np.asarray([index, index + 1]) for index in range(0, len(texts), 2)]
    collator = MLMCollator(examples, 0.3, 3, packing, word_starts(tokenizer))
    for epoch in range(8):
        rows = pairs if packing else [np.asarray([index]) for index in range(len(texts))]
        labels = collator([Row(epoch, row) for row in rows])["labels"].numpy() != IGNORE_INDEX
        for row, line in zip(rows, labels, strict=True):
            start = 0
            for index in row:
                of_text = line[start + 1 : start + examples.lengths[index] - 1]
                start += int(examples.lengths[index])
                ordinary = ~np.isin(told[index][0], special.reserved)
                words = np.asarray(told[index][1])
                for word in set(told[index][1]):
                    assert len(set(of_text[ordinary & (words == word)])) <= 1, (texts[index], word)
                masked += int(of_text.sum())
                total += int(ordinary.sum())
    assert abs(masked / total - 0.3) < 0.01


@given(seed=st.integers(0, 1000), epoch=st.integers(0, 5), starts=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_words_do_not_reach_into_the_next_example(seed, epoch, starts):
    random = np.random.default_rng(starts)
    marks = random.random(SPECIAL.vocab_size) < 0.2
    examples = make_examples(6, 64, mean=15)
    together = MLMCollator(examples, 0.4, seed, True, marks)
    alone = MLMCollator(examples, 0.4, seed, False, marks)
    row = np.asarray([1, 0, 2])
    labels = together([Row(epoch, row)])["labels"][0]
    start = 0
    for index in row:
        length = int(examples.lengths[index])
        single = alone([Row(epoch, np.asarray([index]))])["labels"][0, :length]
        assert labels[start : start + length].equal(single)
        start += length


def _no_prefix(described: dict) -> None:
    described["model"]["continuing_subword_prefix"] = ""


@pytest.mark.parametrize(
    "tokenizer",
    [lambda: make_tokenizer("character"), lambda: wordpiece(change=_no_prefix)],
    ids=["characters", "no prefix"],
)
def test_a_tokenizer_that_tells_no_words_is_refused(tokenizer):
    with pytest.raises(XPTError, match="does not mark where words start") as error:
        word_starts(tokenizer())
    assert "\n" not in str(error.value)


def test_languages_without_blanks_are_known():
    without = {tag for tag in "ko ja zh yue th lo km my bo en uk cy vi hi am und".split()}
    without = {tag for tag in without if not find_language(tag).separates_words}
    assert without == set("ja zh yue th lo km my bo".split())
