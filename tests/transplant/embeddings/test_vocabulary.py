"""Pieces of GPT-2's, BERT's and our own kind of tokenizer, spelled alike."""

import pytest
from ready_tokenizers import wordpiece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from xpt.transplant.embeddings.vocabulary import Vocabulary, by_role, identical_pieces, same_meaning

WORDS = "the cat sat on the mat , the end . 12 km 한국 한국은 café".split()
TEXT = [" ".join(WORDS), "the cats sat, 12 km.", "12, 12. the mat"] * 20


def gpt2() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    roles = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>", "mask": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{role}_token": token for role, token in roles.items()}
    )


def bert(lowercase=True) -> PreTrainedTokenizerFast:
    vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat ##s mat , . 12 ##2 km 한국 ##은".split()

    def change(described):
        described["model"]["vocab"] = {piece: index for index, piece in enumerate(vocabulary)}
        described["normalizer"]["lowercase"] = lowercase

    return wordpiece(change=change)


def unigram() -> PreTrainedTokenizerFast:
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "▁the",
        "▁cat",
        "s",
        ",",
        "▁12",
        "▁km",
        "▁한국",
        "은",
        ".",
        "▁The",
    ]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in [*pieces, "▁", "<mask>"]], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    roles = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>", "mask": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{role}_token": token for role, token in roles.items()}
    )


KINDS = {"gpt2": gpt2, "bert": bert, "unigram": unigram}


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_spelled_with_a_mark_before_and_special_tokens_not_at_all(kind):
    tokenizer = KINDS[kind]()
    vocabulary = Vocabulary.of(tokenizer)
    assert {"▁the", "▁cat", "▁12", "▁km", "▁한국"} <= set(vocabulary.pieces)
    assert len(vocabulary.pieces) == 1 + max(tokenizer.get_vocab().values())
    assert all(vocabulary.pieces[index] is None for index in tokenizer.all_special_ids)
    assert set(vocabulary.roles) == {"bos", "eos", "pad", "unk", "mask"}
    for word in ("the", "12", "한국"):
        assert [vocabulary.pieces[index] for index in vocabulary.encode_words([word])[0]] == [f"▁{word}"]


def test_within_words_there_is_no_mark():
    assert "s" in Vocabulary.of(bert()).pieces and "▁s" not in Vocabulary.of(bert()).pieces
    assert "s" in Vocabulary.of(gpt2()).pieces
    parts = [piece for piece in Vocabulary.of(gpt2()).pieces if piece and "\ufffd" in piece]
    assert not parts  # bytes of half a character are no text


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_identical_pieces_of_any_two_kinds(target, source):
    ours, theirs = Vocabulary.of(KINDS[target]()), Vocabulary.of(KINDS[source]())
    found = {ours.pieces[one]: theirs.pieces[other] for one, other in identical_pieces(ours, theirs).items()}
    for piece in ("▁the", "▁cat", "▁12", "▁km", "▁한국", "s"):
        assert found[piece] == piece
    assert any(piece.strip("▁") == "," and other.strip("▁") == "," for piece, other in found.items())
    roles = by_role(ours, theirs)
    assert {ours.roles[role]: theirs.roles[role] for role in ("bos", "eos", "unk", "mask")} == roles


def test_capitals_are_the_small_letters_of_a_source_that_knows_no_other():
    ours = Vocabulary.of(unigram())
    index = ours.pieces.index("▁The")
    for lowercase in (True, False):
        theirs = Vocabulary.of(bert(lowercase))
        assert theirs.folds_case == lowercase
        assert (index in identical_pieces(ours, theirs)) == lowercase


def test_in_a_korean_vocabulary_latin_words_are_foreign_and_korean_ones_are_not(tiny_tokenizer):
    korean, theirs = Vocabulary.of(tiny_tokenizer), Vocabulary.of(bert())
    both = identical_pieces(korean, theirs)
    same = {korean.pieces[index] for index in same_meaning(korean, theirs)}
    assert not any("가" <= char <= "힣" for piece in same for char in piece)
    assert any(piece.strip("▁") == "." for piece in same) and len(both) >= len(same)
    latin = Vocabulary.of(unigram())
    assert "▁한국" in {latin.pieces[index] for index in same_meaning(latin, theirs)}
    assert "▁the" not in {latin.pieces[index] for index in same_meaning(latin, theirs)}


def test_words_with_an_unknown_character_are_not_found():
    assert Vocabulary.of(bert()).encode_words(["the", "日本"])[1] == []


def test_padding_that_the_file_asks_for_hides_no_frame():
    padded = bert()
    padded.backend_tokenizer.enable_padding(length=16, pad_id=0, pad_token="[PAD]")
    assert Vocabulary.of(padded).roles == Vocabulary.of(bert()).roles
    assert len(Vocabulary.of(padded).encode_words(["the"])[0]) == 1
