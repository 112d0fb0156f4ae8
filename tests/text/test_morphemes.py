"""Vocabularies that respect morphemes: what pieces hold, that reading asks nobody, and what is refused."""

import re
from importlib.metadata import PackageNotFoundError

import pytest
from conftest import korean_sentences
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tokenizer_texts import FAMILY, HEART

from xpt.program.errors import XPTError
from xpt.text import morphemes
from xpt.text.morphemes import (
    Kiwi,
    WordFile,
    free_boundaries,
    mark_boundaries,
    name_segmenter,
    open_segmenter,
)
from xpt.text.surface import surface_spans
from xpt.text.tokenizer import load_tokenizer, save_tokenizer, sentencepiece_processor
from xpt.text.tokenizer_convert import FIRST_PIECES
from xpt.text.tokenizer_settings import TokenizerSettings
from xpt.text.tokenizer_training import train_tokenizer

KINDS = [
    {"model_type": kind, "byte_fallback": spelled} for kind in ("unigram", "bpe") for spelled in (False, True)
]
STEMS = ["mala", "kito", "peru", "soti", "ta", "lu"]
# What marks boundaries inside, what other tools mark them by, and what is a special token.
ODD_STEMS = ["<pad>", "a<s>o", "\ue000mi", "ni|ni"]
SUFFIXES = ["ka", "kasa", "lo", "timi", "s"]
WORDS = [(stem, suffix) for stem in STEMS for suffix in SUFFIXES[:3]]


class Toy:
    """Knows the words of a toy language, each a tuple of morphemes that is written without a sign."""

    identity = "toy"

    def __init__(self, words):
        self.words, self.asked = {"".join(word): word for word in words}, 0

    def places(self, sentences):
        for sentence in sentences:
            self.asked += 1
            yield [
                word.start() + cut for word in re.finditer("[^ ]+", sentence) for cut in self.cuts(word[0])
            ]

    def cuts(self, word):
        lengths = [len(morpheme) for morpheme in self.words.get(word, ())]
        return [sum(lengths[:count]) for count in range(1, len(lengths))]


def largest(text, **options):
    """The largest vocabulary that a text allows."""
    with pytest.raises(XPTError, match="use at most") as caught:
        train_tokenizer(text, 9999, **options)
    return train_tokenizer(text, int(re.search(r"at most (\d+)", str(caught.value))[1]), **options)


def made_pieces(tokenizer):
    """Pieces that stand for text of more than one character."""
    special = {*FIRST_PIECES, "<mask>"}
    found = (piece for piece in tokenizer.get_vocab() if piece not in special)
    return {piece for piece in found if len(piece) > 1 and not re.fullmatch("<0x[0-9A-F]{2}>", piece)}


vocabularies = st.lists(
    st.tuples(st.sampled_from(STEMS + ODD_STEMS), st.sampled_from(SUFFIXES))
    | st.tuples(st.sampled_from(STEMS), st.sampled_from(SUFFIXES), st.sampled_from(SUFFIXES))
    | st.tuples(st.sampled_from(STEMS)),
    min_size=8,
    max_size=30,
    unique_by="".join,
)


# Without shrinking: an example takes as long as a training.
@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(words=vocabularies, order=st.randoms(use_true_random=False), options=st.sampled_from(KINDS))
def test_no_piece_crosses_a_boundary_and_reading_is_that_of_sentencepiece(words, order, options, tmp_path):
    text = [" ".join("".join(order.choice(words)) for _ in range(8)) for _ in range(60)]
    toy = Toy(words)
    tokenizer = largest(text, segmenter=toy, **options)
    asked = toy.asked
    morphemes = {f"▁{word[0]}" for word in words} | {morpheme for word in words for morpheme in word[1:]}
    for piece in made_pieces(tokenizer):
        assert any(piece in morpheme for morpheme in morphemes), piece
    save_tokenizer(tokenizer, tmp_path)
    loaded, processor = load_tokenizer(tmp_path), sentencepiece_processor(tokenizer)
    for line in (line for line in text if "<" not in line):
        read = loaded(line, add_special_tokens=False, return_offsets_mapping=True)
        assert read["input_ids"] == processor.encode(line)
        shown = loaded.convert_ids_to_tokens(read["input_ids"])
        spans = surface_spans(line, read["offset_mapping"])
        assert [line[start:end] for start, end in spans] == [piece.lstrip("▁") for piece in shown]
    assert toy.asked == asked


def test_a_piece_from_within_one_morpheme_is_not_read_where_two_spell_it():
    """Pieces are scored by morphemes, not by all words that merely spell one."""
    text = ["peruka"] * 300 + ["perukalo"] * 60
    tokenizer = largest(text, segmenter=Toy([("peru", "ka"), ("peruka", "lo")]))
    assert tokenizer.tokenize("peruka") == ["▁peru", "ka"]


def test_a_stem_that_endings_always_follow_is_a_piece():
    """SentencePiece alone finds only what different characters follow, and a boundary is always the same."""
    text = [" ".join("".join(word) for word in WORDS[start : start + 5]) for start in range(14)] * 9
    stems = {f"▁{stem}" for stem, _ in WORDS if len(stem) > 2}
    assert stems <= made_pieces(largest(text, segmenter=Toy(WORDS)))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_boundaries_take_no_piece_and_no_share_of_the_characters(kind):
    """Characters are those of a vocabulary of whole words, although a fifth of the text is boundaries."""
    common, rare = " ".join("".join(word) for word in WORDS), list(map(chr, range(0xAC00, 0xAC00 + 60)))
    text = [f"{common} {character}" for character in rare]

    def characters(segmenter):
        found = train_tokenizer(text, 47, kind, 0.995, segmenter=segmenter).get_vocab()
        return {piece for piece in found if len(piece) == 1}

    assert 10 < len(characters(None) & set(rare)) < 50
    assert characters(Toy(WORDS)) == characters(None)


@pytest.mark.parametrize(
    ("text", "places", "marked"),
    [
        ("국민의 권리", [2], "국민|의 권리"),
        ("국민의 권리", [5, 2, 2, 5], "국민|의 권|리"),
        ("국민의 권리", [], "국민의 권리"),
        ("국민의 권리", [0, 3, 4, 6, 9, -1], "국민의 권리"),  # ends, blanks, outside
        ("국민의\t권리\u3000나", [3, 4, 6, 7], "국민의\t권리\u3000나"),
        ("", [0, 1], ""),
        (f"{FAMILY}를", range(8), f"{FAMILY}|를"),
        (f"{HEART}를", range(3), f"{HEART}|를"),
        ("कि", [1], "कि"),
    ],
)
def test_marks_stand_inside_of_words_and_part_no_letter(text, places, marked):
    assert mark_boundaries(text, places, "|") == marked


@pytest.mark.parametrize(
    ("spans", "free"),
    [
        ([(0, 2), (2, 3), (2, 3), (3, 4)], {0, 2, 3, 4}),  # 보호|했|다: the syllable of two stays whole
        (
            [(8, 11), (10, 11), (11, 12)],
            {8, 11, 12},
        ),  # 태어났|다: the stem holds the ending's syllable
        ([(0, 1), (1, 1), (1, 2)], {0, 1, 2}),  # a morpheme that is not written
        ([], set()),
    ],
)
def test_contractions_stay_whole(spans, free):
    assert free_boundaries(spans) == free


def test_a_file_of_words_cuts_them_wherever_they_stand(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("\ufeff국민 의\nl' eau\nwell-known ness\n\n나라\n각\u1100\u1161 나\n", "utf-8")
    segmenter = WordFile(file)
    sentences = ["「국민의」, 국민의힘 나라 국민의", "l'eau, well-knownness", ""]
    assert [*map(list, segmenter.places(sentences))] == [[3, 17], [2, 17], []]
    other = tmp_path / "other.txt"
    other.write_text("국 민의\n", "utf-8")
    assert WordFile(other).identity != segmenter.identity


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "words.txt: No such file or directory; give true .Korean. or a file of words"),
        ("국민\n".encode(), "words.txt cuts no word: give a word a line"),
        (b"", "words.txt cuts no word"),
        ("국민".encode("cp949"), "words.txt is not UTF-8"),
        ("국민 의\n\n국 민의\n".encode(), "words.txt, line 3: 국민의 is cut in another way before"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(XPTError, match=message) as caught:
        open_segmenter(str(tmp_path / "words.txt"))
    assert "\n" not in str(caught.value)


def test_who_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [name_segmenter("true", code) for code in ("ko", "kor", "ko-KR")] == ["ko"] * 3
    assert name_segmenter("ko", "cy") == str(tmp_path / "ko")  # a file of that name, no analyzer
    with pytest.raises(XPTError, match="true is for ko, not cy; give a file of words"):
        name_segmenter("true", "cy")


def test_without_kiwi_the_way_out_is_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(morphemes, "version", missing)
    with pytest.raises(XPTError, match=r"needs kiwipiepy, .*: pip install 'xpt\[morphemes\]'"):
        TokenizerSettings(morphemes="ko").segmenter()


def test_what_decides_a_vocabulary_is_as_before_where_nobody_asks_for_morphemes(tmp_path):
    """Keys of shards that were begun are made of it."""
    before = {"name": None, "vocab_size": 300, "model_type": "bpe", "sentences": 7, "characters": {}}
    assert TokenizerSettings(None, 300, "bpe", 7, {}).decisive() == before
    file = tmp_path / "words.txt"
    file.write_text("국민 의\n", "utf-8")
    found = TokenizerSettings(None, 300, "bpe", 7, {}, str(file)).decisive()
    assert found == before | {"morphemes": WordFile(file).identity}


def test_kiwi_parts_particles_from_nouns_and_leaves_contractions_whole(monkeypatch):
    pytest.importorskip("kiwipiepy", reason="kiwipiepy is an extra: pip install 'xpt[morphemes]'")
    text = ["대한민국 국민의 권리를 보호했다.", f"{FAMILY}를 2021년에 보았다", ""]
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(morphemes, "available_cores", lambda cores=cores: cores)
        marked = zip(text * 20, Kiwi().places(text * 20), strict=True)
        found.append([mark_boundaries(sentence, places, "|") for sentence, places in marked])
    assert found[0] == found[1]
    assert found[0][:3] == ["대한민국 국민|의 권리|를 보호|했|다|.", f"{FAMILY}|를 2021|년|에 보|았|다", ""]
    sentences = korean_sentences(400)
    pieces = made_pieces(train_tokenizer(sentences, 340, "bpe", segmenter=Kiwi()))
    plain = made_pieces(train_tokenizer(sentences, 340, "bpe"))
    fused = {"▁국회는", "▁정부는", "▁시민은"}
    assert fused <= plain and not fused & pieces
    assert {piece[:-1] for piece in fused} <= pieces
