"""Tokens with their places, and the special tokens around them, for every kind of fast tokenizer."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from klue_tokenizers import make_tokenizer
from tokenizers.processors import ByteLevel

from xpt.finetune.batches import pad_batch
from xpt.finetune.encoding import TextEncoder
from xpt.program.errors import XPTError

KINDS = ("character", "wordpiece", "bytes", "metaspace")
# Plain letters of several scripts, blanks of several kinds, decomposed Hangul, emoji beyond the first plane.
ODD = ["\u00a0", "\u3000", "\u1112\u1161\u11ab", "\U0001f600", "\U0001f469\u200d\U0001f52c"]
LETTERS = st.sampled_from([*"가나다라국회 법은 AbC12,.()漢字é", *ODD])
TEXTS = st.lists(LETTERS, min_size=1, max_size=24).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
def test_places_are_of_the_text_in_order_without_blanks_at_their_ends(kind, text):
    (pieces,) = TextEncoder(make_tokenizer(kind), 64, False).pieces([text])
    assert len(pieces.ids) == len(pieces.starts) == len(pieces.ends)
    covered = set()
    for start, end in zip(pieces.starts, pieces.ends, strict=True):
        assert 0 <= start <= end <= len(text)
        covered |= set(range(start, end))
        if start < end:
            assert not text[start].isspace() and not text[end - 1].isspace()
    assert pieces.starts == sorted(pieces.starts)
    seen = {index for index, character in enumerate(text) if not character.isspace()}
    if pieces.ids:
        assert covered >= {index for index in seen if index >= min(covered, default=0)}
    assert pieces.ids == make_tokenizer(kind)(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
@given(first=TEXTS, second=TEXTS)
def test_sequences_and_pairs_are_framed_as_the_tokenizer_does(kind, first, second):
    tokenizer = make_tokenizer(kind)
    encoder = TextEncoder(tokenizer, 500, token_types=True)
    one, two = (pieces.ids for pieces in encoder.pieces([first, second]))
    single, pair = tokenizer(first), tokenizer(first, second, return_token_type_ids=True)
    assert encoder.sequence(one)["input_ids"] == single["input_ids"]
    framed = encoder.pair(one, two)
    assert framed["input_ids"] == pair["input_ids"]
    assert framed["token_type_ids"] == pair.get("token_type_ids", [0] * len(pair["input_ids"]))
    assert framed["input_ids"][encoder.offset :][: len(one)] == one
    assert framed["input_ids"][encoder.second_offset(len(one)) :][: len(two)] == two
    assert len(framed["input_ids"]) - len(one) - len(two) == encoder.max_length - encoder.pair_capacity


def longest_first(first, second, capacity):
    """Token by token, as the slow tokenizers of transformers 3 cut a pair."""
    first, second = list(first), list(second)
    while len(first) + len(second) > capacity:
        (first if len(first) > len(second) else second).pop()
    return first, second


@given(st.integers(0, 40), st.integers(0, 40), st.integers(4, 60))
def test_a_pair_is_cut_as_the_benchmark_cuts_it(first, second, length):
    encoder = TextEncoder(make_tokenizer("wordpiece"), length, False)
    one, two = list(range(first)), list(range(100, 100 + second))
    kept = [list(each) for each in encoder.cut_pair(one, two)]
    assert kept == list(longest_first(one, two, encoder.pair_capacity))
    assert len(encoder.pair(*kept)["input_ids"]) <= max(length, encoder.double.specials)


def test_a_tokenizer_without_a_frame_gets_a_separator_between_two_texts():
    tokenizer = copy.deepcopy(make_tokenizer("bytes"))
    tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=False)
    encoder = TextEncoder(tokenizer, 32, False)
    assert encoder.single.specials == 0 and encoder.sequence([5, 6])["input_ids"] == [5, 6]
    assert encoder.pair([5, 6], [7])["input_ids"] == [5, 6, tokenizer.eos_token_id, 7]
    tokenizer.eos_token = tokenizer.bos_token = tokenizer.sep_token = None
    with pytest.raises(XPTError, match="neither sep_token nor eos_token"):
        TextEncoder(tokenizer, 32, False)


def test_batches_are_filled_up_at_their_ends_with_what_each_entry_needs():
    encoder = TextEncoder(make_tokenizer("wordpiece"), 32, True)
    rows = [
        {**encoder.sequence([7, 8, 9]), "labels": [1, 2, 0, 1, 1]},
        {**encoder.sequence([7]), "labels": [1, 2, 0]},
    ]
    batch = pad_batch(rows, encoder.padding)
    assert batch["input_ids"][1].tolist()[3:] == [encoder.tokenizer.pad_token_id] * 2
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[1, 2, 0, 1, 1], [1, 2, 0, -100, -100]]
    nested = pad_batch([{"a": [[1, 2], [3, 4]], "b": 0.5}, {"a": [[5, 6, 7]], "b": 1.5}], {"a": 9})
    assert nested["a"].tolist() == [[[1, 2, 9], [3, 4, 9]], [[5, 6, 7], [9, 9, 9]]]
    assert nested["b"].tolist() == [0.5, 1.5]
