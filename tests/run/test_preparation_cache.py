"""A changed setting makes anew exactly what depends on it; everything else of the cache is opened."""

from dataclasses import fields
from shutil import copytree
from types import SimpleNamespace

import pytest
from conftest import korean_sentences
from corpus_files import text_of

from xpt.program.errors import XPTError
from xpt.recipe.command_line import read_recipe
from xpt.recipe.corpus import CorpusArguments
from xpt.recipe.tokenizer import TokenizerArguments
from xpt.run.preparation import cache_folder, prepare_text
from xpt.text.morphemes import WordFile
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_training import train_tokenizer

SENTENCES = korean_sentences(400)
NOTHING = {"corpus": 0, "tokenizers": 0, "ids": 0}
CORPUS = {"corpus": 1, "tokenizers": 0, "ids": 0}  # built again, and the same text came out
TOKENIZER = {"corpus": 0, "tokenizers": 1, "ids": 3}
ALL = {"corpus": 1, "tokenizers": 1, "ids": 3}
# option, its new value ("{...}" is a path made below), what is made anew
TABLE = [
    ("corpus", "{other}", ALL),
    ("corpus_weights", "2", CORPUS),  # one entry gives all it has; the report names the weight
    ("corpus_column", "body", CORPUS),  # a text may be a table, as its first lines show
    ("language", "ko-KR", CORPUS),
    ("language", "und", ALL),  # which letters a vocabulary must spell
    ("splitter", "lines", CORPUS),
    ("min_characters", "12", CORPUS),
    ("min_characters", "27", ALL),
    ("max_characters", "900", CORPUS),
    ("max_characters", "40", ALL),
    ("min_script_share", "0.3", CORPUS),
    ("min_script_share", "0.93", ALL),
    ("split_by", "document", ALL),
    ("split_seed", "1", ALL),
    ("train_sentences", "300", ALL),
    ("train_sentences", "5000", CORPUS),
    ("validation_sentences", "3", {"corpus": 1, "tokenizers": 0, "ids": 1}),
    ("test_sentences", "3", {"corpus": 1, "tokenizers": 0, "ids": 1}),
    ("near_duplicates", "true", ALL),
    ("near_duplicate_threshold", "0.9", NOTHING),  # nothing is compared with it
    ("attribution", "somebody", NOTHING),
    ("tokenizer_name_or_path", "{ready}", {"corpus": 0, "tokenizers": 0, "ids": 3}),
    ("vocab_size", "310", TOKENIZER),
    ("tokenizer_model_type", "bpe", TOKENIZER),
    ("tokenizer_sentences", "300", TOKENIZER),
    ("tokenizer_sentences", "5000", NOTHING),  # more than there are: all, as before
    ("tokenizer_morphemes", "{words}", TOKENIZER),
    ("tokenizer_morphemes", "false", NOTHING),
    ("max_seq_length", "64", NOTHING),
    ("packing", "false", NOTHING),
    ("seed", "1", NOTHING),
    ("preprocessing_num_workers", "1", NOTHING),
]


def made(folder, work):
    """How many folders of each kind `work` adds to the cache."""
    before = {kind: set((folder / kind).glob("*")) for kind in NOTHING}
    work()
    return {kind: len(set((folder / kind).glob("*")) - before[kind]) for kind in NOTHING}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preparation")
    nearly = [f"{line[:-1]}!" for line in SENTENCES[:5]]
    blocks = ["\n".join(SENTENCES[start : start + 2]) + "\n" for start in range(0, len(SENTENCES), 2)]
    text_of(folder / "some.txt", [*blocks, *nearly])
    text_of(folder / "other.txt", korean_sentences(400, seed=1))
    text_of(folder / "words.txt", ["국회 는", "정부 는", "학생 은"])
    save_tokenizer(train_tokenizer(SENTENCES, 290), folder / "ready")
    names = {"some": "some.txt", "other": "other.txt", "ready": "ready", "words": "words.txt"}
    return {name: folder / file for name, file in names.items()}


def prepare(places, cache, is_xpt=False, **changed):
    options = {"corpus": "{some}", "vocab_size": "300", "cache_dir": str(cache)} | changed
    flags = [f"--{name}={value.format(**places)}" for name, value in options.items() if value]
    recipe = read_recipe([*flags, "--output_dir", str(cache / "run")])
    assert cache_folder(recipe) == cache
    return prepare_text(recipe, SimpleNamespace(is_xpt=is_xpt, objective="mlm"))


@pytest.fixture(scope="module")
def cache(places, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    assert made(folder, lambda: prepare(places, folder)) == ALL
    assert made(folder, lambda: prepare(places, folder)) == NOTHING
    return folder


@pytest.mark.parametrize("name, value, expected", TABLE)
def test_a_setting_makes_anew_what_depends_on_it(places, cache, tmp_path, name, value, expected):
    own = copytree(cache, tmp_path / "cache")  # so that no row finds what another left
    assert made(own, lambda: prepare(places, own, **{name: value})) == expected


def test_every_setting_of_text_is_in_the_table():
    settings = {entry.name for part in (CorpusArguments, TokenizerArguments) for entry in fields(part)}
    elsewhere = {"corpus_shards", "shard_cache_gb"}  # text that was prepared before: test_shards.py
    assert settings - elsewhere <= {name for name, _, _ in TABLE}


def test_changed_words_cut_a_new_vocabulary(places, cache, tmp_path):
    own, words = copytree(cache, tmp_path / "cache"), tmp_path / "words.txt"
    for lines, expected in ((["국회 는"], TOKENIZER), (["국회 는"], NOTHING), (["정부 는"], TOKENIZER)):
        text_of(words, lines)
        assert made(own, lambda: prepare(places, own, tokenizer_morphemes=str(words))) == expected
    assert WordFile(words).identity == prepare(places, own, tokenizer_morphemes=str(words)).morphemes


@pytest.mark.parametrize(
    ("changed", "is_xpt", "message"),
    [
        (
            {"tokenizer_name_or_path": "{ready}"},
            False,
            "--tokenizer_name_or_path names a ready one",
        ),
        ({}, True, "the source came with one; leave it out, or give --keep_vocabulary false"),
        ({"corpus_shards": "{some}", "corpus": None}, False, "shards have a tokenizer; give it to"),
        ({"tokenizer_morphemes": "nowhere.txt"}, False, "nowhere.txt: No such file"),
        ({"tokenizer_morphemes": "true", "language": "cy"}, False, "true is for ko, not cy"),
    ],
)
def test_morphemes_that_have_no_effect_are_refused_before_text_is_read(
    places, tmp_path, monkeypatch, changed, is_xpt, message
):
    ready = load_tokenizer(places["ready"])
    monkeypatch.setattr("xpt.run.vocabulary.source_tokenizer", lambda source: ready)
    with pytest.raises(XPTError, match=message):
        options = {"tokenizer_morphemes": "{words}"} | changed
        prepare(places, tmp_path, is_xpt, **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_changed_file_is_read_again(places, cache, tmp_path):
    path = text_of(tmp_path / "a.txt", SENTENCES)
    prepare(places, tmp_path / "cache", corpus=str(path))
    text_of(path, korean_sentences(410))
    again = made(tmp_path / "cache", lambda: prepare(places, tmp_path / "cache", corpus=str(path)))
    assert again["corpus"] == 1 and again["tokenizers"] == 1
