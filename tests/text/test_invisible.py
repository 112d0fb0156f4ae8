"""Characters that nobody sees: gone from clean text and from what a tokenizer reads, but where they work."""

import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizer_texts import KINDS, synthetic_sentences

from xpt.text.corpus.clean import clean_text
from xpt.text.quick_encoding import batch_encoder, is_converted
from xpt.text.tokenizer import load_tokenizer, save_tokenizer, sentencepiece_processor
from xpt.text.tokenizer_convert import normalization_rules, sentencepiece_text
from xpt.text.tokenizer_training import train_tokenizer

BLANKS = "\u3164\uffa0\u115f\u1160"
GONE = (
    "\u034f\ufffc\ufff9\U000e0001\U000e0067\U000e007f\ufe00\ufe0e\ufe0f\U000e0100\U000e01ef\u180b\u180d\u180f"
)
WORKING = [
    "❤\ufe0f",
    "\u2764\ufe0e",
    "1\ufe0f\u20e3",
    "👁\ufe0f\u200d🗨\ufe0f",
    "葛\U000e0100",
    "神\ufe00",
    "ᠠ\u180b",
    "\u115f\u1161",  # a medial letter alone
    "\u1112\u1160",  # a first letter alone
    "\u115f\u1160\u11a8",  # a last letter alone
    "\u1112\u119e\u11ab",  # old Hangul without a filler
]
SENTENCES = [*synthetic_sentences(600), *[f"가나 {text} 다라" for text in WORKING] * 9]


@pytest.fixture(scope="module")
def kinds():
    return {name: train_tokenizer(SENTENCES, **choices) for name, choices in KINDS.items()}


def read(tokenizer, text):
    return tokenizer.backend_tokenizer.normalizer.normalize_str(text)


@pytest.mark.parametrize("char", GONE)
def test_the_invisible_go_from_clean_text_and_tokenizers_alike(kinds, char):
    for text, rest in ((f"가{char}나 1{char}.", "가나 1."), (f"{char}가 {char}나{char}{char}", "가 나")):
        assert clean_text(text) == rest
        for tokenizer in kinds.values():
            assert read(tokenizer, text).strip() == rest
            assert tokenizer(text)["input_ids"] == tokenizer(rest)["input_ids"]


@pytest.mark.parametrize("char", BLANKS)
def test_a_filler_out_of_place_is_a_blank(kinds, char):
    text = f"{char}가{char}{char}나 {char}."
    assert clean_text(text) == "가 나 ."
    for tokenizer in kinds.values():
        assert read(tokenizer, text).strip() == "가 나 ."
        assert tokenizer(text)["input_ids"] == tokenizer("가 나 .")["input_ids"]


@pytest.mark.parametrize("text", WORKING)
def test_where_they_work_they_stay(kinds, text):
    assert clean_text(f"가 {text}나 {text}") == f"가 {text}나 {text}"
    for tokenizer in kinds.values():
        assert read(tokenizer, f"가 {text}나 {text}") == f"가 {text}나 {text}"


def test_a_flag_spelled_with_tags_becomes_a_black_flag(kinds):
    flag = "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
    assert clean_text(f"가 {flag} 나") == "가 🏴 나"
    assert read(kinds["bpe"], f"가 {flag} 나") == "가 🏴 나"


pieces = st.lists(
    st.sampled_from([*BLANKS, *GONE, *WORKING, "가", " ", "1", "<mask>", "\u11a8", "\u1112"]), max_size=9
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces.map("".join))
def test_all_ways_to_ids_agree_and_cleaning_again_changes_nothing(kinds, text):
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    for name, tokenizer in kinds.items():
        ids = sentencepiece_processor(tokenizer).encode(sentencepiece_text(text))
        assert list(batch_encoder(tokenizer)([text])[0]) == ids, name
        assert read(tokenizer, cleaned).strip() == cleaned
        if "<mask>" not in text:  # to a reader of prompts it is the token, in text to learn from it is text
            assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids, name


LATER = "\uffa0\u034f\ufffc"


def test_a_tokenizer_from_before_these_rules_goes_on_without_them(tmp_path, monkeypatch):
    rules = normalization_rules().splitlines(keepends=True)
    older = "".join(rule for rule in rules if chr(int(rule.split("\t")[0], 16)) not in LATER)
    monkeypatch.setattr("xpt.text.tokenizer_training.normalization_rules", lambda: older)
    save_tokenizer(train_tokenizer(synthetic_sentences(600), 500), tmp_path)
    monkeypatch.undo()
    loaded = load_tokenizer(tmp_path)
    assert is_converted(loaded)
    stored = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["normalizer"]
    assert not any(char in json.dumps(stored, ensure_ascii=False) for char in "\u115f\ufe0f")
    for text in ("1\uffa01", "1\u115f1\ufe0f", "1\u31641"):
        ids = loaded(text, add_special_tokens=False)["input_ids"]
        assert sentencepiece_processor(loaded).encode(unicodedata.normalize("NFC", text)) == ids
        assert list(batch_encoder(loaded)([text])[0]) == ids
        assert (loaded.unk_token_id in ids) == ("\u3164" not in text)
