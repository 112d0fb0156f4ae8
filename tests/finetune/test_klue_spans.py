"""Windows, central tokens and the search of spans equal the official loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_spans import covering, most_context, slow_prediction, slow_windows

from xpt.finetune.klue.mrc import MRC, Question
from xpt.finetune.spans import LONGEST, Window, central_tokens, covering_tokens, step_for, windows
from xpt.finetune.task import Feature

rooms_and_steps = st.integers(1, 60).flatmap(
    lambda capacity: st.tuples(st.just(capacity), st.integers(1, capacity))
)


@settings(deadline=None)
@given(st.integers(0, 300), rooms_and_steps)
def test_windows_equal_the_slow_code(tokens, room_and_step):
    capacity, step = room_and_step
    found = windows(tokens, capacity, step)
    assert found == slow_windows(tokens, capacity, step)
    assert sorted({place for window in found for place in range(*window)}) == list(range(tokens))


def test_a_step_is_no_overlap():
    assert windows(1000, 440, 128) == [
        (begin, min(1000, begin + 440)) for begin in (0, 128, 256, 384, 512, 640)
    ]
    assert windows(440, 440, 128) == [(0, 440)]
    assert windows(441, 440, 128) == [(0, 440), (128, 441)]
    assert windows(0, 440, 128) == [(0, 0)]


def test_official_lengths_have_the_official_step():
    assert {step_for(capacity) for capacity in range(188, 510)} == {128}


@settings(deadline=None)
@given(
    st.integers(1, 300),
    rooms_and_steps | st.just((150, 49)) | st.integers(2, 140).map(lambda step: (200, step)),
)
def test_every_token_is_central_once_where_it_has_most_context(tokens, room_and_step):
    ranges = windows(tokens, *room_and_step)
    central = central_tokens(ranges)
    owners = [
        [
            number
            for number, (begin, end) in enumerate(ranges)
            if begin <= place < end and central[number][place - begin]
        ]
        for place in range(tokens)
    ]
    assert owners == [[most_context(ranges, place)] for place in range(tokens)]


@settings(deadline=None)
@given(st.data())
def test_no_answer_of_the_longest_length_is_lost_between_windows(data):
    capacity = data.draw(st.integers(4 * LONGEST, 500))
    tokens = data.draw(st.integers(LONGEST, 3 * capacity))
    ranges = windows(tokens, capacity, step_for(capacity))
    central = central_tokens(ranges)
    for first in range(tokens - LONGEST + 1):
        (end,) = (
            e for (b, e), best in zip(ranges, central, strict=True) if b <= first < e and best[first - b]
        )
        last_of_all = first + LONGEST == tokens == end + 1  # lost by the official rule, see below
        assert first + LONGEST <= end or last_of_all


def test_a_longer_window_counts_for_more_than_one_token_of_context():
    long, short = central_tokens([(0, 382), (128, 510), (256, 511)])[1:]
    assert list(np.nonzero(short)[0] + 256) == [510]
    assert long[-1]  # token 509 has no token to its right there, and one in the short window


@st.composite
def placed_tokens(draw):
    """A text and tokens over it: some of blanks, some share a character, some lie on nothing."""
    text = draw(st.text("가나 \u3000", min_size=1, max_size=12))
    places, begin = [], 0
    while begin < len(text):
        end = draw(st.integers(begin + 1, len(text)))
        places += [(begin, begin)] * draw(st.integers(0, 1)) + [(begin, end)] * draw(st.integers(1, 3))
        begin = end
    return text, places


@settings(deadline=None)
@given(placed_tokens(), st.data())
def test_covering_tokens_touch_the_answer(tokens, data):
    text, places = tokens
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    filled = [(b, e) if text[b:e].strip() else (e, e) for b, e in places]
    starts, ends = (np.array(row, np.int32) for row in zip(*filled, strict=True))
    assert covering_tokens(starts, ends, begin, end) == covering(places, text, begin, end)


@st.composite
def scored_windows(draw):
    """A context in windows with logits; many are equal, so that the order of equal ones counts."""
    tokens = draw(st.integers(1, 120))
    ranges = windows(tokens, *draw(rooms_and_steps))
    context = "".join(draw(st.sampled_from(["가 ", "나다", "라 "])) for _ in range(tokens))
    starts = np.arange(tokens) * 2
    ends = starts + np.array([len(context[start : start + 2].strip()) for start in starts])
    blank = np.array(draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens)))
    ends = np.where(blank & draw(st.booleans()), starts, ends)
    first = draw(st.integers(1, 6))
    made = [
        Window(first, starts[begin:end], ends[begin:end], central)
        for (begin, end), central in zip(ranges, central_tokens(ranges), strict=True)
    ]
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 10, 1000]))
    rows = [
        generator.integers(0, levels, (2, first + len(window.starts) + 1)).astype(np.float32)
        for window in made
    ]
    for row in rows:
        row[:, 0] += draw(st.sampled_from([-levels, 0, levels // 2, levels]))
    return context, made, rows


@settings(deadline=None)
@given(st.lists(scored_windows(), min_size=1, max_size=3))
def test_predictions_equal_the_official_loops(scored):
    examples = [Question(f"q{i}", "", context, "", (), True, 3) for i, (context, _, _) in enumerate(scored)]
    features = [Feature({}, i, window) for i, (_, made, _) in enumerate(scored) for window in made]
    lines = MRC().predictions(examples, features, [row for _, _, rows in scored for row in rows])
    expected = [
        {"guid": f"q{i}", "text": slow_prediction(context, made, rows)}
        for i, (context, made, rows) in enumerate(scored)
    ]
    assert lines == expected


def test_an_answer_as_good_as_none_is_given():
    question = Question("q", "", "가나", "", (), True, 3)
    window = Window(2, np.array([0, 1]), np.array([1, 2]), np.array([True, True]))
    for null, text in ((1.5, "가나"), (2.0, "가나"), (2.5, "")):
        row = np.array([[null, 0, 1, 0, 0], [0, 0, 0, 1, 0]], np.float32)
        assert MRC().predictions([question], [Feature({}, 0, window)], [row]) == [{"guid": "q", "text": text}]


def alone(context, first, row):
    """The prediction for a context of one character a token that one window shows."""
    places = np.arange(len(context))
    window = Window(first, places, places + 1, np.full(len(context), True))
    question = Question("q", "", context, "", (), True, 3)
    (line,) = MRC().predictions([question], [Feature({}, 0, window)], [row.astype(np.float32)])
    return line["text"]


def test_thirty_tokens_are_an_answer_and_no_more():
    for tokens, text in ((30, "가" * 30), (31, "")):
        row = np.full((2, 42), -10.0)
        row[:, 0], row[0, 5], row[1, 5 + tokens - 1] = -3, 0, 0  # "" scores -6, the answer 0, all others -10
        assert alone("가" * 40, 1, row) == text


def test_twenty_starts_and_ends_are_tried_those_in_the_question_too():
    for side in (0, 1):
        for better, text in ((19, "나"), (20, "")):
            row = np.zeros((2, 34))
            row[:, 0] = 1
            row[:, 31] = 3
            row[side, 1 : 1 + better] = 4
            assert alone("가나다", 30, row) == text
