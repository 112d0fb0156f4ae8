"""MRC's features of any tokenizer, and the answers that perfect logits of them lead to."""

import copy
import unicodedata

import numpy as np
import pytest
from conftest import korean_sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_spans import block_f1, covered, covering, most_context, offsets, slow_windows
from klue_tokenizers import KINDS, make_tokenizer
from tokenizers import processors

from xpt.finetune.encoding import TextEncoder
from xpt.finetune.klue.mrc import MRC, Question
from xpt.finetune.spans import LONGEST, STEP, step_for
from xpt.program.errors import XPTError

PARTS = [
    "국회는",
    "서울에서",
    "大韓民國",
    unicodedata.normalize("NFD", "한글"),
    unicodedata.normalize("NFD", "é"),
    "3.5%",
    "《책》",
    "👩‍👩‍👧",
    "☀️",
    "😀",
    "𠀀",
    "ﬁ①…",
    "x",
]
BLANKS = [" ", "", "\u00a0", "\u3000", "  ", "\n"]
TASK = MRC()


def texts(most=12):
    """Contexts of odd parts; often without blanks between them."""
    pieces = st.tuples(st.sampled_from(PARTS), st.sampled_from(BLANKS))
    return st.lists(pieces, min_size=1, max_size=most).map(lambda found: "".join(map("".join, found)))


@st.composite
def questions(draw, most=12, question="어디에서 열렸나?", impossible=False):
    """A question whose answer is any part of its context without blanks at its ends."""
    context = draw(texts(most))
    filled = [place for place, letter in enumerate(context) if not letter.isspace()]
    begin = draw(st.sampled_from(filled) | st.just(filled[0]))
    end = 1 + draw(st.sampled_from([place for place in filled if place >= begin]) | st.just(filled[-1]))
    answers = () if impossible else ((context[begin:end], begin),)
    return Question("guid", "", context, question, answers, impossible, 3 if impossible else 1)


def encoder(kind, max_length=510, token_types=True):
    return TextEncoder(make_tokenizer(kind), max_length, token_types)


def perfect(task, examples, encoder):
    """Logits that say what training features are labelled with."""
    rows = []
    for feature in task.features(examples, encoder, training=True):
        row = np.zeros((2, len(feature.inputs["input_ids"])), np.float32)
        row[0, feature.inputs["start_positions"]] = row[1, feature.inputs["end_positions"]] = 10
        rows.append(row)
    return rows


def answered(examples, encoder):
    """The texts that perfect logits lead to."""
    features = TASK.features(examples, encoder, training=False)
    lines = TASK.predictions(examples, features, perfect(TASK, examples, encoder))
    assert [line["guid"] for line in lines] == [example.guid for example in examples]
    return [line["text"] for line in lines]


def room_for(question, encoder):
    """Context tokens of a window, from the tokenizer's own count of special ones."""
    capacity = encoder.max_length - encoder.tokenizer.num_special_tokens_to_add(pair=True)
    return capacity - min(len(offsets(encoder.tokenizer, question)), 64, capacity // 2)


def reachable(example, encoder):
    """Whether some window may begin the answer and holds all of it, and it is not too long."""
    (text, begin), context = example.answers[0], example.context
    places = offsets(encoder.tokenizer, context)
    first, last = covering(places, context, begin, begin + len(text))
    capacity = room_for(example.question, encoder)
    ranges = slow_windows(len(places), capacity, step_for(capacity))
    begin, end = ranges[most_context(ranges, first)]
    return last < end and last - first < LONGEST


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(question=questions(), max_length=st.sampled_from([24, 40, 510]))
def test_perfect_logits_answer_with_the_covering_tokens(kind, question, max_length):
    reader = encoder(kind, max_length)
    (text, begin), (given_text,) = question.answers[0], answered([question], reader)
    if not reachable(question, reader):
        return
    best = covered(reader.tokenizer, question.context, begin, begin + len(text))
    assert text in best
    assert given_text == best
    assert block_f1(given_text, text) == pytest.approx(2 * len(text) / (len(best) + len(text)))
    if kind == "character":
        assert given_text == text


@settings(max_examples=40, deadline=None)
@given(question=questions(most=60))
def test_nothing_is_lost_in_many_windows_of_characters(question):
    reader = encoder("character", 140)
    text = question.answers[0][0]
    (given_text,) = answered([question], reader)
    if len(text) <= LONGEST:
        assert given_text == text
    else:
        assert given_text != text


@pytest.mark.parametrize("kind", KINDS)
def test_answers_at_both_ends_of_a_long_context(kind):
    context = " ".join(korean_sentences(60))
    first, last = context.split()[0], context.split()[-1]
    places = (0, len(context) - len(last))
    asked = [
        Question(f"q{i}", "", context, "누가?", ((text, place),), False, 1)
        for i, (text, place) in enumerate(zip((first, last), places, strict=True))
    ]
    reader = encoder(kind, 140)
    assert len(TASK.features(asked, reader, training=False)) > 6
    expected = [
        covered(reader.tokenizer, context, place, place + len(text))
        for text, place in zip((first, last), places, strict=True)
    ]
    assert answered(asked, reader) == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(question=questions(most=40, impossible=True))
def test_what_cannot_be_answered_is_empty(kind, question):
    assert answered([question], encoder(kind, 40)) == [""]


@pytest.mark.parametrize("kind", KINDS)
def test_windows_begin_128_tokens_apart(kind):
    context = " ".join(korean_sentences(150))
    question = Question("q", "", context, "언제 어디에서?", (), True, 3)
    reader = encoder(kind)
    tokens = reader.pieces([context])[0].ids
    features = TASK.features([question], reader, training=False)
    ranges = slow_windows(len(tokens), room_for(question.question, reader), STEP)
    assert [list(feature.inputs["input_ids"][feature.memory.first :][: e - b]) for feature, (b, e) in
            zip(features, ranges, strict=True)] == [tokens[b:e] for b, e in ranges]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(question=questions(most=30, question="국회 " * 90), max_length=st.integers(5, 200))
def test_sequences_are_the_tokenizer_s_own_pairs(kind, question, max_length):
    reader = encoder(kind, max_length)
    tokenizer = reader.tokenizer
    asked = tokenizer(question.question, add_special_tokens=False)["input_ids"]
    kept = min(64, (max_length - tokenizer.num_special_tokens_to_add(pair=True)) // 2)
    for feature in TASK.features([question], reader, training=False):
        window, ids = feature.memory, [int(id) for id in feature.inputs["input_ids"]]
        context = ids[window.first : window.first + len(window.starts)]
        assert len(ids) <= max_length
        assert ids == reader.pair(asked[:kept], context)["input_ids"]
        assert ids[1 : 1 + kept] == asked[:kept]
        types = [int(type_id) for type_id in feature.inputs["token_type_ids"]]
        second = 1 if kind in ("character", "wordpiece") else 0
        assert set(types[window.first :][: len(context)]) <= {second}
        assert not any(types[: 1 + kept])


def test_only_the_first_answer_is_learned_and_all_are_gold():
    question = Question("q", "", "가 나 다 라", "?", (("다", 4), ("가", 0)), False, 1)
    reader = encoder("character")
    (feature,) = TASK.features([question], reader, training=True)
    ids, places = (
        feature.inputs["input_ids"],
        (feature.inputs["start_positions"], feature.inputs["end_positions"]),
    )
    first = len(offsets(reader.tokenizer, "?")) + 2
    assert places == (first + 4, first + 4)
    assert feature.memory is None and len(ids) == first + len("가 나 다 라") + 1
    assert TASK.reference(question) == {"answers": ["다", "가"]}


def test_windows_without_all_of_the_answer_learn_the_first_token():
    context = "가나" * 100
    question = Question("q", "", context, "?", (("나가나", 99),), False, 1)
    reader = encoder("character", 104)
    capacity, first = 100, 3
    features = TASK.features([question], reader, training=True)
    expected = [
        (first + 99 - begin, first + 101 - begin) if begin <= 99 and end >= 102 else (0, 0)
        for begin, end in slow_windows(200, capacity, step_for(capacity))
    ]
    found = [(feature.inputs["start_positions"], feature.inputs["end_positions"]) for feature in features]
    assert found == expected
    assert {(0, 0)} < set(found)


@pytest.mark.parametrize("context", ["", " \u3000\n"])
def test_an_empty_context_has_no_answer(context):
    assert answered([Question("q", "", context, "?", (), True, 3)], encoder("metaspace")) == [""]


def test_a_tokenizer_that_puts_nothing_in_front_has_the_question_s_first_token_there():
    tokenizer = copy.deepcopy(make_tokenizer("bytes"))
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    reader = TextEncoder(tokenizer, 60, False)
    context = " ".join(korean_sentences(12))
    word = context.split()[-1]
    answer = (word, len(context) - len(word))
    asked = [
        Question("q0", "", context, "누가?", (answer,), False, 1),
        Question("q1", "", context, "?", (), True, 3),
    ]
    features = TASK.features(asked, reader, training=True)
    assert len(features) > 10
    first = tokenizer("누가?")["input_ids"][0]
    assert {int(feature.inputs["input_ids"][0]) for feature in features if feature.example == 0} == {first}
    expected = covered(tokenizer, context, answer[1], len(context))
    assert word in expected and answered(asked, reader) == [expected, ""]


def test_more_examples_than_are_tokenized_at_once_keep_their_places():
    asked = [Question(f"q{i}", "", f"{i}번 문", "몇 번?", ((str(i), 0),), False, 1) for i in range(600)]
    reader = encoder("character")
    assert [feature.example for feature in TASK.features(asked, reader, training=True)] == list(range(600))
    assert answered(asked, reader) == [str(i) for i in range(600)]


def test_sequences_too_short_for_anything_are_refused():
    with pytest.raises(XPTError, match="allow longer sequences"):
        TASK.features([], encoder("character", 3), training=True)
