"""Special tokens of any tokenizer: spelled in a text they are text; ids of nothing are never drawn."""

import numpy as np
import pytest
import tokenizer_texts
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from klue_tokenizers import make_tokenizer
from ready_tokenizers import endoftext, leave_a_hole, plain_mask, saved, wordpiece
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from xpt.finetune.encoding import TextEncoder
from xpt.program.errors import XPTError
from xpt.text.encoding import encode_sentences
from xpt.text.special_tokens import SpecialIds, frame_of, id_count, special_ids, text_reader, unused_ids
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_training import train_tokenizer

SPELLED = ["[MASK]", "[SEP]", "[CLS]", "[PAD]", "[UNK]", "<mask>", "<s>", "</s>", "<pad>", "<unk>"]
SPELLED += ["<|endoftext|>", "<|fim|>", "<|mask|>", "<|pad|>"]
PLAIN = ["국회는", " 오늘 ", "법사의", "<", "[", "a b", "12", ".", "각", "\u200b", "漢字", "|>", "]"]
TEXTS = st.lists(st.sampled_from([*SPELLED, *PLAIN]) | st.text(max_size=4), max_size=8).map("".join)


@pytest.fixture(scope="module")
def kinds() -> dict[str, PreTrainedTokenizerFast]:
    """Every kind of tokenizer that is trained here, or that people bring."""
    sentences = tokenizer_texts.synthetic_sentences(600)
    own = {name: train_tokenizer(sentences, **choices) for name, choices in tokenizer_texts.KINDS.items()}
    brought = {kind: make_tokenizer(kind) for kind in ("character", "wordpiece", "bytes", "metaspace")}
    others = {"endoftext": endoftext(), "plain mask": plain_mask(), "hole": wordpiece(change=leave_a_hole)}
    return {**own, **brought, **others}


@pytest.fixture(scope="module")
def readers(kinds) -> dict[str, Tokenizer]:
    return {name: text_reader(tokenizer) for name, tokenizer in kinds.items()}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
@example("그는 [MASK] 와<mask> 그리고 <|endoftext|><|fim|>[SEP] </s><s> <|mask|>")
def test_no_text_has_a_special_id_and_a_plain_one_has_the_tokenizers(kinds, readers, text):
    for name, tokenizer in kinds.items():
        ids = readers[name].encode(text, add_special_tokens=False).ids
        assert not set(ids) & (special_ids(tokenizer) - {tokenizer.unk_token_id}), name
        if not any(token in text for token in tokenizer.get_added_vocab()):
            assert ids == tokenizer(text, add_special_tokens=False)["input_ids"], name


@pytest.mark.parametrize("token", ["<mask>", "<s>", "</s>", "[SEP]"])
def test_a_spelled_token_is_read_as_its_characters(kinds, readers, token):
    text = f"그는 {token}다"
    ids = readers["bytes"].encode(text, add_special_tokens=False).ids
    assert kinds["bytes"].decode(ids, skip_special_tokens=True) == text


def test_prepared_ids_have_no_special_one(kinds, tmp_path):
    sentences = ["그는 [MASK] 와 <mask> 을", "끝 </s> <|endoftext|> [SEP] <s>", "국회는 오늘"]
    for number, (name, tokenizer) in enumerate(kinds.items()):
        ids = np.asarray(encode_sentences(sentences, tokenizer, tmp_path / str(number), "").ids)
        reserved = set(SpecialIds.of(load_tokenizer(saved(tokenizer, tmp_path / name))).reserved)
        assert len(ids) and not set(ids.tolist()) & (reserved - {tokenizer.unk_token_id}), name


def test_a_token_that_klue_text_spells_is_text_and_markers_stay(kinds):
    for name in ("wordpiece", "bytes", "metaspace"):
        tokenizer = kinds[name]
        encoder = TextEncoder(tokenizer, 64, token_types=False)
        spelled = f"그는 {tokenizer.sep_token}{tokenizer.mask_token} 라고 썼다"
        (pieces,) = encoder.pieces([spelled])
        assert not set(pieces.ids) & {tokenizer.sep_token_id, tokenizer.mask_token_id}, name
        covered = {
            place
            for start, end in zip(pieces.starts, pieces.ends, strict=True)
            for place in range(start, end)
        }
        assert covered == {place for place, letter in enumerate(spelled) if letter != " "}, name
        framed = encoder.sequence(pieces.ids)["input_ids"]
        assert framed[-1] == tokenizer.sep_token_id and framed.count(tokenizer.sep_token_id) == 1, name


# ---- what stands around a text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokenizer", "frame"),
    [
        (wordpiece(), ("[CLS]", "[SEP]")),
        (wordpiece(framed=False), ("[CLS]", "[SEP]")),
        (wordpiece(framed=False, cls=None, sep=None, bos="[CLS]", eos="[SEP]"), ("[CLS]", "[SEP]")),
        (wordpiece(bos="[unused1]", eos="[unused2]"), ("[CLS]", "[SEP]")),  # what it really puts there
        (make_tokenizer("bytes"), ("<s>", "</s>")),
        (endoftext(), ("<|endoftext|>", "<|endoftext|>")),
    ],
    ids=["cls-sep", "bare", "bos-eos", "both", "roberta", "one-token"],
)
def test_a_text_is_framed_and_stays_so_when_saved(tokenizer, frame, tmp_path):
    loaded = load_tokenizer(saved(tokenizer, tmp_path / "given"))
    save_tokenizer(loaded, tmp_path / "kept")
    special = SpecialIds.of(loaded)
    assert tuple(loaded.convert_ids_to_tokens([special.bos, special.eos])) == frame
    assert {special.bos, special.eos, special.pad, special.mask} <= set(special.reserved)
    for again in (
        loaded,
        load_tokenizer(tmp_path / "kept"),
        PreTrainedTokenizerFast.from_pretrained(tmp_path / "kept"),
    ):
        text = again("국회는 오늘", "읽었다")
        assert sorted(text) == [
            "attention_mask",
            "input_ids",
        ]  # one token type, whatever the source's model has
        ids = again("국회는 오늘")["input_ids"]
        assert (ids[0], ids[-1]) == (special.bos, special.eos)
        assert text["input_ids"][: len(ids)] == ids and text["input_ids"][-1] == special.eos


def far_mask(described):
    described["model"]["vocab"]["[MASK]"] = 1000


def no_unknown(described):
    described["model"]["unk_token"] = "[NONE]"


REFUSED = [
    ({"mask": None}, "has no mask token, which XPT needs: name one as mask_token in its tokenizer_conf"),
    ({"pad": None}, "has no pad token, which XPT needs: name one as pad_token"),
    ({"framed": False, "cls": None, "sep": None}, "has no two tokens to put around a text: name them"),
    ({"framed": False, "cls": None, "sep": None, "eos": "[SEP]"}, "has no two tokens to put around"),
    ({"framed": False, "sep": None}, "has no two tokens to put around a text"),
    ({"change": far_mask}, "300 pieces and ids up to 1,000, so that most rows"),
    ({"change": no_unknown, "unk": None}, "cannot read every text (.*): give it an unk_token"),
]


@pytest.mark.parametrize(("choices", "message"), REFUSED)
def test_a_tokenizer_that_cannot_serve_is_refused_in_one_line(choices, message, tmp_path):
    with pytest.raises(XPTError, match=message) as caught:
        load_tokenizer(saved(wordpiece(**choices), tmp_path / "t"))
    assert "\n" not in str(caught.value) and str(tmp_path / "t") in str(caught.value)


def test_two_pieces_of_one_id_are_refused(tmp_path):
    tokenizer = wordpiece(change=leave_a_hole)
    tokenizer.add_tokens(["국회의사당"])  # gets 300, as there are 300 pieces; the last of them has 300
    last = next(
        piece for piece, index in tokenizer.get_vocab().items() if index == 300 and piece != "국회의사당"
    )
    with pytest.raises(XPTError, match="at one id, 300: number them anew") as caught:
        load_tokenizer(saved(tokenizer, tmp_path))
    assert "국회의사당" in str(caught.value) and last in str(caught.value)


# ---- ids of nothing --------------------------------------------------------------------------------------


def test_ids_with_a_hole_have_rows_and_the_hole_is_never_drawn():
    tokenizer = wordpiece(change=leave_a_hole)
    assert len(tokenizer) == 300 and max(tokenizer.get_vocab().values()) == 300
    special = SpecialIds.of(tokenizer)
    assert id_count(tokenizer) == special.vocab_size == 301 and unused_ids(tokenizer) == {20}
    assert special.reserved == (0, 1, 2, 3, 4, 20)
    assert special.ordinary_ids().tolist() == [*range(5, 20), *range(21, 301)]


def test_a_special_token_without_a_role_is_reserved():
    tokenizer = endoftext()
    (fim,) = tokenizer.convert_tokens_to_ids(["<|fim|>"])
    assert fim not in tokenizer.all_special_ids and fim in special_ids(tokenizer)
    assert frame_of(tokenizer) is None
    with pytest.raises(ValueError, match="does not put one token before and one behind"):
        SpecialIds.of(tokenizer)
