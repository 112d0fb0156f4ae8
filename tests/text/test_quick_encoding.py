"""Ids of many sentences at once are those of the tokenizer, whatever the text and whoever changed it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizer_texts import KINDS, synthetic_sentences

from xpt.text.encoding import encode_sentences
from xpt.text.quick_encoding import batch_encoder, is_converted
from xpt.text.special_tokens import text_reader
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_training import train_tokenizer

SENTENCES = synthetic_sentences(600)
PARTS = [
    *SENTENCES[:40],
    "<mask>",
    "<s>",
    "</s>",
    " <unk>",
    "<pad>",
    "<",
    "\x00",
    "각",
    "\u200b",
    "가" * 2100,
    "漢 字",
]


@pytest.fixture(scope="module")
def kinds():
    return {name: train_tokenizer(SENTENCES, **choices) for name, choices in KINDS.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=4).map("".join), min_size=1, max_size=5))
@example(["", "<mask>을 가<s>다", "가" * 5000])
def test_ids_are_those_of_the_tokenizer(kinds, sentences):
    for name, tokenizer in kinds.items():
        reader = text_reader(tokenizer)
        expected = [reader.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
        assert [list(ids) for ids in batch_encoder(tokenizer)(sentences)] == expected, name


def test_which_tokenizers_are_conversions(kinds, tmp_path):
    assert [name for name, tokenizer in kinds.items() if is_converted(tokenizer)] == ["unigram", "bpe"]
    save_tokenizer(kinds["unigram"], tmp_path)
    assert is_converted(load_tokenizer(tmp_path))
    changed = load_tokenizer(tmp_path)
    changed.add_tokens(["국회의사당"])
    assert not is_converted(changed)
    (tmp_path / "sentencepiece.model").write_bytes(b"no model")
    assert not is_converted(load_tokenizer(tmp_path))
    (tmp_path / "sentencepiece.model").unlink()
    assert not is_converted(load_tokenizer(tmp_path))


def test_a_changed_tokenizer_encodes_by_its_own_rules(kinds, tmp_path):
    save_tokenizer(kinds["unigram"], tmp_path)
    changed = load_tokenizer(tmp_path)
    changed.add_tokens(["국회의사당"])
    (ids,) = batch_encoder(changed)(["저기 국회의사당 있다"])
    assert changed.convert_tokens_to_ids("국회의사당") in ids


def test_ids_on_disk_are_those_of_each_sentence(kinds, tmp_path, monkeypatch):
    monkeypatch.setattr("xpt.text.encoding.BATCH_SENTENCES", 7)
    sentences = [*SENTENCES[:40], "", *SENTENCES[40:60], ""]
    encoded = encode_sentences(sentences, kinds["unigram"], tmp_path / "ids", "")
    assert encoded.ids.dtype == np.uint16
    expected = [kinds["unigram"](sentence, add_special_tokens=False)["input_ids"] for sentence in sentences]
    assert [one.tolist() for one in encoded] == expected
    flat = [number for ids in expected for number in ids]
    assert encoded.counts(500).tolist() == [flat.count(number) for number in range(500)]
    assert encoded.counts(501).tolist() == [*encoded.counts(500), 0]
