"""Languages: what a code means, what is said of a wrong one, and what follows from it."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from langcodes.data_dicts import LIKELY_SUBTAGS

from xpt.program.errors import XPTError
from xpt.recipe.command_line import read_recipe
from xpt.text.corpus import CorpusSettings
from xpt.text.corpus.clean import SentenceFilter
from xpt.text.corpus.sentences import SPLITTERS, split_phrases, split_with_sentencex
from xpt.text.corpus.wiki_markup import is_wiki_junk
from xpt.text.language import find_language, script_of
from xpt.text.tokenizer_settings import character_settings
from xpt.text.tokenizer_training import HANGUL_LETTERS

CODES = sorted(tag for tag in LIKELY_SUBTAGS if "-" not in tag and tag != "und")


@pytest.mark.parametrize(
    ("tag", "normal", "name", "scripts"),
    [
        ("ko", "ko", "Korean", {"Hangul"}),
        ("kor", "ko", "Korean", {"Hangul"}),
        ("ko_kr", "ko-KR", "Korean (South Korea)", {"Hangul"}),
        ("cy", "cy", "Welsh", {"Latin"}),
        ("ja", "ja", "Japanese", {"Hiragana", "Katakana", "Han"}),
        ("yue", "yue", "Cantonese", {"Han"}),
        ("sr", "sr", "Serbian", {"Cyrillic"}),
        ("sr-Latn", "sr-Latn", "Serbian (Latin)", {"Latin"}),
        ("pa", "pa", "Punjabi", {"Gurmukhi"}),
        ("pa-PK", "pa-PK", "Punjabi (Pakistan)", {"Arabic"}),
        ("und", "und", "Unknown language", set()),
        ("und-Thai", "und-Thai", "Unknown language (Thai)", {"Thai"}),
        ("qaa", "qaa", "Unknown language [qaa]", set()),  # private use: no table can know its script
    ],
)
def test_what_a_code_means(tag, normal, name, scripts):
    language = find_language(tag)
    assert (language.tag, language.name, set(language.scripts)) == (normal, name, scripts)


@pytest.mark.parametrize("code", CODES[:: len(CODES) // 150])
def test_every_language_of_unicode_has_a_name_and_a_script_to_hold_it_to(code):
    language = find_language(code)
    assert language.name and "Unknown" not in language.name
    for script in language.scripts:
        assert regex.compile(rf"\p{{Script={script}}}")
    assert language.scripts, "a script without a name at Unicode"


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("Ukrainian", "did you mean uk (Ukrainian)?"),
        ("welhs", "did you mean cy (Welsh)?"),
        ("ua", "did you mean uk (Ukrainian)?"),
        ("jp", "did you mean ja (Japanese)?"),
        ("한국어", "did you mean ko (Korean)?"),
        ("xx", "give an ISO 639 or BCP 47 code, such as ko, uk, yue or sr-Latn"),
        ("", "give an ISO 639 or BCP 47 code"),
        ("x-12345", "give an ISO 639 or BCP 47 code"),
        ("en-", "give an ISO 639 or BCP 47 code"),
    ],
)
def test_an_unknown_code_is_one_line_with_what_was_meant(word, suggestion):
    for ask in (find_language, lambda tag: read_recipe(["--corpus", "a.txt", "--language", tag])):
        with pytest.raises(XPTError) as caught:
            ask(word)
        message = str(caught.value)
        assert message.startswith(f"language {word!r} is no language code: ") and suggestion in message
        assert "\n" not in message


@given(st.characters(exclude_categories=["Cs", "Cn", "Co"]))
def test_reporting_and_filtering_mean_the_same_scripts(character):
    """The one asks fontTools, the other regex."""
    script = script_of(character)
    if script is None:
        assert regex.match(r"[\p{Script=Common}\p{Script=Inherited}]", character)
    else:
        assert regex.match(rf"\p{{Script={script}}}", character)


# What follows from the language


@pytest.mark.parametrize(
    ("language", "splitter", "shortest", "longest"),
    [
        ("ko", "sentencex", 10, 1000),
        ("ja", "sentencex", 10, 1000),
        ("zh", "sentencex", 7, 700),
        ("yue-Hant", "sentencex", 7, 700),
        ("uk", "sentencex", 10, 1800),
        ("th", "phrases", 10, 1800),
        ("und", "sentencex", 10, 1800),
    ],
)
def test_thresholds_follow_the_language_unless_given(language, splitter, shortest, longest):
    settings = CorpusSettings(corpus=("a",), language=language)
    assert (settings.splitter, settings.min_characters, settings.max_characters) == (
        splitter,
        shortest,
        longest,
    )
    given = {"splitter": "lines", "min_characters": 3, "max_characters": 50, "min_script_share": 0.5}
    settings = CorpusSettings(corpus=("a",), language=language, **given)
    assert {name: getattr(settings, name) for name in given} == given


def test_a_shorter_maximum_alone_lowers_the_minimum():
    assert CorpusSettings(corpus=("a",), max_characters=5).min_characters == 5


def test_options_reach_the_corpus():
    flags = "--corpus a b --corpus_weights 3 1 --corpus_column body --language cym --splitter lines "
    flags += (
        "--min_characters 4 --max_characters 90 --min_script_share 0.4 --split_by document --split_seed 7 "
    )
    flags += "--train_sentences 5 --validation_sentences 6 --test_sentences 8"
    expected = CorpusSettings(
        corpus=("a", "b"),
        corpus_weights=(3.0, 1.0),
        column="body",
        language="cy",
        splitter="lines",
        min_characters=4,
        max_characters=90,
        min_script_share=0.4,
        split_by="document",
        split_seed=7,
        train_sentences=5,
        validation_sentences=6,
        test_sentences=8,
    )
    assert read_recipe(flags.split()).corpus.settings() == expected


@pytest.mark.parametrize(
    ("language", "sentence", "reason"),
    [
        ("zh", "北京是中国的首都。", None),
        ("ko", "北京是中国的首都。", "short"),
        ("zh-TW", "臺北是臺灣的首都，人口很多。", None),
        ("ja", "東京は日本の首都である。", None),
        ("sr", "Beograd je glavni grad Srbije.", "script"),
        ("sr-Latn", "Beograd je glavni grad Srbije.", None),
        ("sr-Latn", "Београд је главни град Србије.", "script"),
        ("kk", "Астана — Қазақстанның астанасы.", None),
        ("und", "Београд je главни grad 서울 .", None),
    ],
)
def test_sentences_are_held_to_their_own_script_and_length(language, sentence, reason):
    settings = CorpusSettings(corpus=("a",), language=language)
    limits = (settings.min_characters, settings.max_characters, settings.min_script_share)
    assert SentenceFilter(language, *limits).reason_to_drop(sentence) == reason


def test_headings_are_shorter_where_characters_say_more():
    line = "北京是中华人民共和国的首都和直辖市，也是全国的中心"  # 25 characters
    assert not is_wiki_junk(line, "zh") and is_wiki_junk(line, "ja")


def test_a_territory_does_not_lose_the_rules_of_its_language():
    pieces = ["Він жив у м. Київ. ", "Потім переїхав на вул. Шевченка. ", "У 1990 р. помер."]
    for tag in ("uk", "uk-UA", "ukr"):
        assert split_with_sentencex("".join(pieces), tag) == pieces


@given(st.text(alphabet="กขค งจ ฉช", max_size=400), st.sampled_from(sorted(SPLITTERS)))
def test_pieces_of_text_without_marks_are_the_line(text, splitter):
    line = " ".join(text.split()) or "ก"
    pieces = SPLITTERS[splitter](line, "th")
    assert "".join(pieces) == line and all(pieces)
    if splitter == "phrases":
        longest = max(map(len, line.split())) + 1
        assert all(len(piece) < 80 + longest for piece in pieces)
        assert all(len(piece) >= 80 and piece.endswith(" ") for piece in pieces[:-1])


def test_phrases_of_one_line_lose_nothing_to_the_length_limit():
    line = " ".join(["กรุงเทพมหานครเป็นเมืองหลวง"] * 200)
    assert len(line) > CorpusSettings(corpus=("a",), language="th").max_characters
    assert len(split_phrases(line, "th")) > 50


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        (("ko", "ko-KR", "kor"), {"required_characters": HANGUL_LETTERS}),
        (("ja", "zh", "zh-TW", "yue", "lzh", "und"), {}),
        (("uk", "cy", "th", "sr-Latn", "am"), {"character_coverage": 1.0}),
    ],
)
def test_alphabets_are_spelled_whole_and_large_scripts_by_frequency(languages, expected):
    assert [character_settings(language) for language in languages] == [expected] * len(languages)
