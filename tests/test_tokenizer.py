"""The tokenizer room: ids equal SentencePiece's, offsets, the mask, files, errors, determinism."""

import hashlib
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xpt.errors import XPTError
from xpt.tokenizer import (
    HANGUL_LETTERS,
    SENTENCEPIECE_FILE,
    load_tokenizer,
    save_tokenizer,
    sentencepiece_processor,
    surface_spans,
    tokenizer_fingerprint,
    train_tokenizer,
)

SHIPPED = Path(__file__).parent.parent / "tokenizer"
KINDS = {
    "unigram": {"vocab_size": 500},
    "bpe": {"vocab_size": 500, "model_type": "bpe"},
    "unigram-bytes": {"vocab_size": 800, "byte_fallback": True},
    "bpe-bytes": {"vocab_size": 800, "model_type": "bpe", "byte_fallback": True},
}
FAMILY, FLAG, HEART = "👨‍👩‍👧‍👦", "🇰🇷", "❤️"
PAIRED = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def synthetic_sentences(count: int = 1500, seed: int = 0) -> list[str]:
    """Words of a Zipf-like made-up Korean: stems, particles, numbers, single letters, Latin, emoji."""
    chance = random.Random(seed)
    syllables = [chr(0xAC00 + 588 * chance.randrange(19) + 28 * chance.randrange(21)) for _ in range(90)]
    syllables += [chr(ord(syllable) + 4) for syllable in syllables[:20]]
    stems = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(300)]
    stems += ["ㅋㅋㅋ", "ㅠㅠ", "XPT", "model", FAMILY, FLAG, HEART, "😀", "111", "2021년", "aaaa", "漢字"]
    weights = [1 / (rank + 1) for rank in range(len(stems))]
    particles = ["", "", "은", "는", "를", "에서", "다", "다.", "?", "!", ",", ")"]

    def word() -> str:
        return chance.choices(stems[::-1] if chance.random() < 0.3 else stems, weights)[0] + chance.choice(
            particles
        )

    return [" ".join(word() for _ in range(chance.randint(3, 14))) for _ in range(count)]


@pytest.fixture(scope="module")
def sentences():
    return synthetic_sentences()


@pytest.fixture(scope="module")
def trained(sentences):
    return {kind: train_tokenizer(iter(sentences), **options) for kind, options in KINDS.items()}


@pytest.fixture(scope="module")
def shipped():
    return load_tokenizer(SHIPPED)


@pytest.fixture(scope="module")
def every(trained, shipped):
    return {**trained, "shipped": shipped}


words = st.one_of(
    st.sampled_from(sorted({word for sentence in synthetic_sentences(60) for word in sentence.split()})),
    st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=6),
    st.text(st.sampled_from(HANGUL_LETTERS), min_size=1, max_size=9),
    st.text(
        st.sampled_from("aAbXPTmodel0123456789.,!?()[]'\"-/%:&漢字中①㈜ＡＢ½²«»…·—“”éñßЖя"),
        min_size=1,
        max_size=12,
    ),
    st.text(st.sampled_from("1ㅋa가다"), min_size=1, max_size=30),
    st.sampled_from([FAMILY, FLAG, HEART, "😀😀", "👍🏽", "👩‍💻", "‍", "️", "각", "가가", "ᆨ", "e\u0301\u0323"]),
)
blanks = st.sampled_from(
    [" ", " ", " ", "", "  ", *"\t\n\xa0\u3000\u2581\u200b\xad\ufeff\u200e\x1f\x85\u3164\u2066"]
)
texts = st.lists(st.tuples(words, blanks), max_size=14).map(
    lambda parts: "".join(word + blank for word, blank in parts)
)
anything = st.text(
    st.characters(max_codepoint=0x1FAFF, exclude_categories=("Cs", "Cn"), exclude_characters="\x00<")
)
clean = st.lists(words, min_size=1, max_size=14).map(
    lambda parts: unicodedata.normalize("NFC", " ".join(" ".join(parts).split()))
)


@PAIRED
@given(text=st.one_of(texts, anything), form=st.sampled_from(["NFC", "NFD"]))
@example(text=" 나는  간다 \n", form="NFC")
@example(text="", form="NFC")
@example(text="ㅋㅋㅋㅋㅋㅋㅋㅋ 제111조 11111 aaaaaaa 漢漢漢", form="NFC")
@example(text="\ufeff한국어\u200b 문장\u00ad이다", form="NFD")
def test_ids_are_those_of_sentencepiece(every, text, form):
    for kind, tokenizer in every.items():
        expected = sentencepiece_processor(tokenizer).encode(unicodedata.normalize("NFC", text))
        actual = tokenizer.encode(unicodedata.normalize(form, text), add_special_tokens=False)
        assert actual == expected, (kind, tokenizer.convert_ids_to_tokens(actual))


def test_equally_good_pieces_are_chosen_alike(every):
    """Runs of one character can be cut in many ways of one score; the order of addition must not matter."""
    lines = [
        "가나 다라마 " * before + run * length
        for before in (0, 3, 40)
        for length in range(1, 30)
        for run in "1aㅋ다"
    ]
    lines += [f"헌법 제{number}조" for number in range(1000, 3000, 7)]
    for kind, tokenizer in every.items():
        expected = sentencepiece_processor(tokenizer).encode(lines)
        assert tokenizer(lines, add_special_tokens=False)["input_ids"] == expected, kind


def test_unigram_scores_add_without_rounding(every):
    for kind in ("unigram", "unigram-bytes", "shipped"):
        processor = sentencepiece_processor(every[kind])
        scores = [processor.get_score(index) for index in range(len(processor))]
        assert all(score * 512 == int(score * 512) for score in scores)
        assert len(set(scores)) > 100


def test_special_tokens_and_sizes(every):
    for kind, tokenizer in every.items():
        size = KINDS.get(kind, {"vocab_size": 32000})["vocab_size"]
        assert len(tokenizer) == tokenizer.vocab_size == size
        assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]) == [
            0,
            1,
            2,
            3,
            size - 1,
        ]
        assert sorted(tokenizer.get_vocab().values()) == list(range(size))
        assert (tokenizer.cls_token_id, tokenizer.sep_token_id) == (
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        )
        assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (1, 3, size - 1)
        assert tokenizer.model_input_names == ["input_ids", "attention_mask"]


def test_pairs_look_like_robertas(every):
    for tokenizer in every.values():
        first, second = (tokenizer.encode(text, add_special_tokens=False) for text in ("나는 다", "를 XPT"))
        single = tokenizer("나는 다", return_token_type_ids=True)
        pair = tokenizer("나는 다", "를 XPT", return_token_type_ids=True)
        assert single["input_ids"] == [0, *first, 2]
        assert pair["input_ids"] == [0, *first, 2, 2, *second, 2]
        assert set(pair["token_type_ids"]) == {0}
        assert "token_type_ids" not in tokenizer("나는", "다")


@PAIRED
@given(text=st.one_of(texts, clean))
def test_offsets_slice_back_to_the_surface(every, text):
    text = unicodedata.normalize("NFC", text.replace("\u2581", ""))
    for kind in ("unigram", "bpe", "shipped"):
        tokenizer = every[kind]
        encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        spans = surface_spans(text, encoded["offset_mapping"])
        last = 0
        for index, (start, end) in zip(encoded["input_ids"], spans, strict=True):
            piece, surface = tokenizer.convert_ids_to_tokens(index).lstrip("▁"), _visible(text[start:end])
            assert index == tokenizer.unk_token_id or surface == piece
            assert _visible(text[last:start]) == "" or start == end
            last = max(last, end)
        assert _visible(text[last:]) == ""


def _visible(text):
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\ufeff\u3164\u2066]", "", text)


@PAIRED
@given(text=clean)
@example(text="한국 각각의 값을 XPT")
def test_offsets_of_decomposed_text_cover_whole_syllables(every, text):
    decomposed = unicodedata.normalize("NFD", text)
    for kind in ("unigram", "bpe", "shipped"):
        tokenizer = every[kind]
        composed_offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        encoded = tokenizer(decomposed, return_offsets_mapping=True)
        assert encoded["input_ids"] == tokenizer(text)["input_ids"]
        surfaces = [text[start:end] for start, end in surface_spans(text, composed_offsets)]
        spans = surface_spans(decomposed, encoded["offset_mapping"])
        assert [unicodedata.normalize("NFC", decomposed[start:end]) for start, end in spans] == surfaces


def test_the_mask_takes_the_space_before_it_only(every):
    for kind, tokenizer in every.items():

        def tokens(text, tokenizer=tokenizer):
            return tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))

        glued, apart = tokens("나는<mask>를 다"), tokens("나는 <mask> 를 다")
        assert glued[: glued.index("<mask>")] == apart[: apart.index("<mask>")] == tokens("나는"), kind
        assert glued[glued.index("<mask>") + 1][0] == "를"
        assert apart[apart.index("<mask>") + 1][0] == "▁"
        assert tokens("나는 <mask>를 다") == glued
        assert tokens("나는 <mask> 를 다\n") == apart
        assert tokens("<mask>를")[:2] == ["<mask>", "를"]
        assert tokenizer("나는 <mask>를", return_offsets_mapping=True).offset_mapping[-3] == (2, 9)
        assert tokens("<mask> <mask>") == ["<mask>", "<mask>"]
        assert tokenizer.decode(tokenizer.encode("나는 <mask>를", add_special_tokens=False)) == "나는<mask>를"


@PAIRED
@given(text=clean)
def test_decoding_gives_the_text_back(every, text):
    for kind, tokenizer in every.items():
        ids = tokenizer.encode(text, add_special_tokens=False)
        if "bytes" in kind:
            assert tokenizer.unk_token_id not in ids
        if tokenizer.unk_token_id not in ids:
            assert tokenizer.decode(ids) == " ".join(
                _visible(word) for word in text.split() if _visible(word)
            )


def test_single_jamo_and_emoji_survive(shipped):
    for text in [*HANGUL_LETTERS, "ㅋㅋㅋ", "ㅠㅠ", "ㅇㅇ", "①", "㈜", "²", "😀", HEART, "\u2764"]:
        ids = shipped.encode(text, add_special_tokens=False)
        assert text in (
            shipped.decode(ids),
            text if shipped.unk_token_id in ids and text not in HANGUL_LETTERS else "",
        )
    rare = train_tokenizer(synthetic_sentences(), 560, required_characters=HANGUL_LETTERS)
    for letter in HANGUL_LETTERS:
        assert rare.decode(rare.encode(letter, add_special_tokens=False)) == letter


def test_training_is_deterministic_streams_and_is_quiet(sentences, tmp_path, capfd):
    read = []

    def stream(form):
        for sentence in sentences:
            read.append(sentence)
            yield unicodedata.normalize(form, sentence)

    files = {}
    for name, form in (("a", "NFC"), ("b", "NFC"), ("c", "NFD")):
        save_tokenizer(train_tokenizer(stream(form), 400, max_sentences=700), tmp_path / name)
        sentencepiece.set_random_generator_seed(len(files) + 5)
        files[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert files["a"] == files["b"] == files["c"]
    assert len(read) == 3 * len(sentences)
    assert set(files["a"]) == {"tokenizer.json", "tokenizer_config.json", SENTENCEPIECE_FILE}
    assert b"tsv" not in files["a"][SENTENCEPIECE_FILE]
    save_tokenizer(train_tokenizer(iter(sentences), 400), tmp_path / "d")
    assert (tmp_path / "d" / "tokenizer.json").read_bytes() != files["a"]["tokenizer.json"]
    assert capfd.readouterr() == ("", "")


def test_saved_files_and_fingerprint_know_nothing_of_past_calls(trained, tmp_path):
    tokenizer = trained["unigram"]
    fingerprint = tokenizer_fingerprint(tokenizer)
    save_tokenizer(tokenizer, tmp_path / "before")
    tokenizer("나는 다 를", truncation=True, max_length=3, padding="max_length")
    assert tokenizer_fingerprint(tokenizer) == fingerprint
    save_tokenizer(tokenizer, tmp_path / "after")
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "after" / path.name).read_bytes()
    loaded = load_tokenizer(tmp_path / "after")
    assert tokenizer_fingerprint(loaded) == fingerprint
    assert sentencepiece_processor(loaded).encode("나는") == loaded.encode("나는", add_special_tokens=False)
    prints = {kind: tokenizer_fingerprint(tokenizer) for kind, tokenizer in trained.items()}
    assert len(set(prints.values())) == len(prints)
    loaded.backend_tokenizer.normalizer = None
    assert tokenizer_fingerprint(loaded) != fingerprint


def test_config_names_a_class_both_major_versions_know(trained, tmp_path):
    save_tokenizer(trained["unigram"], tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["model_input_names"] == ["input_ids", "attention_mask"]
    assert "model_max_length" not in config
    limited = train_tokenizer(synthetic_sentences(), 400, model_max_length=128)
    save_tokenizer(limited, tmp_path)
    assert load_tokenizer(tmp_path).model_max_length == 128


FRESH_PROCESS = """
import json, sys
from transformers import AutoTokenizer
results = []
for folder in sys.argv[1:]:
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    results.append([type(tokenizer).__name__, tokenizer("나는 <mask>를 각 ㅋㅋ", "XPT")["input_ids"]])
print(json.dumps(results))
"""


def test_loads_in_a_fresh_process_without_code_or_question(trained, shipped, tmp_path):
    """Alone, and beside a config.json of a model type of our own that points to code of its own."""
    for name in ("alone", "model"):
        save_tokenizer(trained["unigram"], tmp_path / name)
    config = {"model_type": "xpt-roberta", "auto_map": {"AutoConfig": "configuration_xpt.XPTRobertaConfig"}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, tmp_path / "alone", tmp_path / "model", SHIPPED],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": "",
            "HF_HUB_OFFLINE": "1",
            "HF_MODULES_CACHE": str(tmp_path / "modules"),
        },
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    alone, model, ready = json.loads(done.stdout.splitlines()[-1])
    assert alone[1] == model[1] == trained["unigram"]("나는 <mask>를 각 ㅋㅋ", "XPT")["input_ids"]
    assert ready[1] == shipped("나는 <mask>를 각 ㅋㅋ", "XPT")["input_ids"]


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_larger_than_the_text_allows(model_type):
    few = ["나는 밥을 먹는다", "너는 물을 마신다"] * 5
    with pytest.raises(
        XPTError, match=r"5000 is more than the text allows \(10 sentences\): use at most (\d+)"
    ) as caught:
        train_tokenizer(few, 5000, model_type)
    largest = int(re.search(r"at most (\d+)", str(caught.value))[1])
    assert len(train_tokenizer(few, largest, model_type)) == largest
    with pytest.raises(XPTError, match="more than the text allows"):
        train_tokenizer(few, largest + 1, model_type)


def test_a_vocabulary_too_small_for_the_characters(sentences):
    with pytest.raises(XPTError, match=r"40 does not hold the single characters .* at least (\d+)") as caught:
        train_tokenizer(sentences, 40)
    least = int(re.search(r"at least (\d+)", str(caught.value))[1])
    assert len(train_tokenizer(sentences, least)) == least
    with pytest.raises(XPTError, match="at least"):
        train_tokenizer(sentences, least - 1)
    with pytest.raises(XPTError, match="no room for text"):
        train_tokenizer(sentences, 5)


def broken_corpus():
    yield "나는 간다"
    raise XPTError("corpus.txt is not UTF-8")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ([], {}, "no text to train a tokenizer on"),
        (["", "  \n"], {}, "no text to train a tokenizer on"),
        (["가"], {"model_type": "wordpiece"}, "'wordpiece' is not known"),
        (["가"], {"character_coverage": 0.2}, "0.2 is outside"),
        (broken_corpus(), {}, "^corpus.txt is not UTF-8$"),
    ],
)
def test_bad_input_is_named_in_one_line(text, options, message):
    with pytest.raises(XPTError, match=message) as caught:
        train_tokenizer(text, 300, **options)
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_used(trained, tmp_path):
    def refused(match):
        with pytest.raises(XPTError, match=match) as caught:
            load_tokenizer(tmp_path / "t")
        assert "\n" not in str(caught.value)

    refused("no tokenizer folder")
    save_tokenizer(trained["unigram"], tmp_path / "t")
    path = tmp_path / "t" / "tokenizer.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    refused("cannot load a tokenizer")
    path.unlink()
    refused("no tokenizer.json")
    path.write_text(whole)
    config_path = tmp_path / "t" / "tokenizer_config.json"
    config = json.loads(config_path.read_text())
    config_path.write_text(json.dumps({**config, "mask_token": None}))
    refused("no mask token")
    own_class = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]}}
    config_path.write_text(json.dumps({**config, **own_class}))
    refused("contains custom code")


def test_shipped_note_is_rendered_from_its_record():
    specification = importlib.util.spec_from_file_location("make", SHIPPED / "make.py")
    make = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make)
    record = json.loads((SHIPPED / "made.json").read_text(encoding="utf-8"))
    assert (SHIPPED / "README.md").read_text(encoding="utf-8") == make.render_note(record)


def test_shipped_files_are_those_of_the_note(shipped):
    note = (SHIPPED / "README.md").read_text(encoding="utf-8")
    sizes = 0
    for name in ("tokenizer.json", "tokenizer_config.json", SENTENCEPIECE_FILE):
        content = (SHIPPED / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() in note
        sizes += len(content)
    assert sizes < 4_000_000
    assert tokenizer_fingerprint(shipped) in note
    assert isinstance(sentencepiece_processor(shipped), sentencepiece.SentencePieceProcessor)
