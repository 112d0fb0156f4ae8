"""Mixed corpora: shares of the training text, what each entry gave, and which scripts it is written in."""

import json
import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from corpus_files import SENTENCES, as_jsonl, build_from, contents, sentence, text_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from train_xpt import main
from xpt.program.errors import XPTError
from xpt.recipe.command_line import read_recipe
from xpt.text.corpus import SPLIT_NAMES, Corpus, CorpusSettings, build_corpus, format_corpus_report
from xpt.text.corpus.mixture import apportion, largest_mixture
from xpt.text.corpus.report import foreign_script
from xpt.text.corpus.select import TRAIN, select

UKRAINIAN = [f"Село номер {index} розташоване на березі річки." for index in range(60)]


def parts_of(whole: int, weights: list[int]) -> list[Fraction]:
    return [Fraction(weight, whole) for weight in weights]


weights_of_entries = st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any)


@settings(max_examples=300, deadline=None)
@given(weights_of_entries, st.integers(0, 3000))
def test_parts_add_up_keep_their_shares_and_never_shrink(weights, total):
    shares = parts_of(sum(weights), weights)
    parts, next_parts = apportion(total, shares), apportion(total + 1, shares)
    assert sum(parts) == total
    assert all(part >= math.floor(total * share) for part, share in zip(parts, shares, strict=True))
    assert all(abs(part - total * share) < len(parts) for part, share in zip(parts, shares, strict=True))
    assert all(part == 0 for part, share in zip(parts, shares, strict=True) if not share)
    assert all(after >= before for before, after in zip(parts, next_parts, strict=True))


@settings(max_examples=300, deadline=None)
@given(weights_of_entries, st.data())
def test_the_largest_mixture_is_the_largest_in_which_all_shares_hold(weights, data):
    shares = parts_of(sum(weights), weights)
    available = data.draw(st.lists(st.integers(0, 60), min_size=len(weights), max_size=len(weights)))

    def fits(total: int) -> bool:
        parts = apportion(total, shares)
        return all(part <= count for part, count in zip(parts, available, strict=True))

    def holds(total: int) -> bool:
        return all(total * share <= count for share, count in zip(shares, available, strict=True))

    largest = max(total for total in range(sum(available) + 1) if holds(total) and fits(total))
    assert largest_mixture(available, shares) == apportion(largest, shares)


# Corpora


def mixed(folder: Path, sizes: list[int], **options) -> Corpus:
    """A corpus of several files, file i with `sizes[i]` sentences of its own."""
    names, start = [], 0
    for number, size in enumerate(sizes):
        path = folder / f"{number}-{start}-{size}.txt"
        if not path.exists():
            text_of(path, [sentence(index) for index in range(start, start + size)])
        names.append(str(path))
        start += size
    values = {"corpus": tuple(names), "splitter": "lines", **options}
    return build_corpus(CorpusSettings(**values), folder / "cache", progress=False)


def train_of_entries(corpus: Corpus, sizes: list[int]) -> list[list[str]]:
    """The training sentences of each file, found by their own text."""
    bounds = np.cumsum([0, *sizes])
    owner = {
        sentence(index): entry
        for entry, (start, end) in enumerate(pairwise(bounds))
        for index in range(start, end)
    }
    of_entries: list[list[str]] = [[] for _ in sizes]
    for line in corpus.split("train"):
        of_entries[owner[line]].append(line)
    return of_entries


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.lists(st.integers(10, 120), min_size=2, max_size=3, unique=True),
)
def test_shares_hold_nest_and_leave_the_held_out_text_alone(tmp_path, weights, totals):
    sizes = [200, 150, 250]
    plain = mixed(tmp_path, sizes)
    built = [
        mixed(tmp_path, sizes, corpus_weights=tuple(weights), train_sentences=total)
        for total in sorted(totals)
    ]
    built.append(mixed(tmp_path, sizes, corpus_weights=tuple(weights)))
    shares = parts_of(sum(weights), weights)
    for corpus, total in zip(built, [*sorted(totals), None], strict=True):
        found = train_of_entries(corpus, sizes)
        available = [len(lines) for lines in train_of_entries(plain, sizes)]
        wanted = largest_mixture(available, shares) if total is None else apportion(total, shares)
        assert [len(lines) for lines in found] == list(map(min, wanted, available))
        assert len(set(corpus.split("train"))) == len(corpus.split("train"))
        for name in ("validation", "test"):
            assert contents(corpus)[name] == contents(plain)[name]
        for entry, lines, count, there in zip(
            corpus.report["entries"], found, wanted, available, strict=True
        ):
            assert entry["splits"]["train"] == {
                "sentences": len(lines),
                "characters": sum(map(len, lines)),
                "available": there,
                "wanted": count,
                "shortfall": max(0, count - there),
            }
    assume(all(not entry["splits"]["train"]["shortfall"] for c in built for entry in c.report["entries"]))
    for small, large in pairwise(built):
        assert set(small.split("train")) <= set(large.split("train"))


def test_decimal_shares_are_exact_and_need_no_sum_of_one(tmp_path):
    exact = CorpusSettings(corpus=("a", "b"), corpus_weights=(0.1, 0.3)).shares
    assert exact == (Fraction(1, 4), Fraction(3, 4))
    sizes = [300, 300, 300]
    for weights in [(0.6, 0.3, 0.1), (60, 30, 10), (6e-5, 3e-5, 1e-5)]:
        corpus = mixed(tmp_path, sizes, corpus_weights=weights, train_sentences=200)
        assert [len(lines) for lines in train_of_entries(corpus, sizes)] == [120, 60, 20]


def test_each_entry_gives_its_sentences_of_the_lowest_hash():
    random = np.random.default_rng(0)
    hashes = random.integers(2**62, 2**64, 3000, dtype=np.uint64)  # all of the training split
    limits = {"train": 900, "validation": None, "test": None}
    shares = parts_of(3, [2, 1])
    codes = select(hashes, None, limits, [1000, 2000], shares).codes
    for entry, count in ((slice(0, 1000), 600), (slice(1000, 3000), 300)):
        assert sorted(hashes[entry][codes[entry] == TRAIN]) == sorted(hashes[entry])[:count]


def test_an_entry_that_is_short_gives_all_and_the_report_says_so(tmp_path):
    corpus = mixed(tmp_path, [300, 20], corpus_weights=(1, 1), train_sentences=200)
    large, small = (entry["splits"]["train"] for entry in corpus.report["entries"])
    assert (large["sentences"], large["shortfall"]) == (100, 0)
    assert small["sentences"] == small["available"] and small["shortfall"] == 100 - small["available"]
    (warning,) = corpus.report["warnings"]
    assert warning == (
        f"corpus 1-300-20.txt gives {small['available']} of the 100 training sentences of its share: lower "
        "train_sentences, or leave it out to have the shares hold"
    )
    assert f"warning: {warning}" in format_corpus_report(corpus.report).splitlines()
    assert mixed(tmp_path, [300, 20], corpus_weights=(1, 1)).report["warnings"] == []


def test_a_weight_of_zero_leaves_held_out_text_only(tmp_path):
    sizes = [300, 300]
    corpus = mixed(tmp_path, sizes, corpus_weights=(0, 2))
    plain = mixed(tmp_path, sizes)
    assert train_of_entries(corpus, sizes) == [[], train_of_entries(plain, sizes)[1]]
    assert contents(corpus)["test"] == contents(plain)["test"]


def test_a_folder_is_one_entry_and_documents_stay_together(tmp_path):
    for place in ("many", "one"):
        (tmp_path / place).mkdir()
    blocks = [[sentence(index) for index in range(start, start + 4)] for start in range(0, 800, 4)]
    for number, part in enumerate((blocks[:50], blocks[50:100])):
        rows = ["\n".join(block) for block in part]
        (tmp_path / "many" / f"{number}.jsonl").write_bytes(as_jsonl(rows))
    (tmp_path / "one" / "a.jsonl").write_bytes(as_jsonl(["\n".join(block) for block in blocks[100:]]))
    names = (str(tmp_path / "many"), str(tmp_path / "one" / "*.jsonl"))
    options = {"split_by": "document", "train_sentences": 200, "corpus_weights": (3, 1)}
    corpus = build_corpus(CorpusSettings(corpus=names, **options), tmp_path / "cache", progress=False)
    many, one = corpus.report["entries"]
    assert (many["name"], many["files"], one["name"], one["files"]) == ("many", 2, "*.jsonl", 1)
    assert (many["splits"]["train"]["sentences"], one["splits"]["train"]["sentences"]) == (150, 50)
    lines = set(corpus.split("train"))
    cut = [block for block in blocks if 0 < len(lines & set(block)) < 4]
    assert len(cut) <= 2  # the last document of each entry


def test_every_entry_reports_its_own_without_weights_too(tmp_path):
    first = [*SENTENCES[:100], "짧다.", SENTENCES[5]]
    second = [*SENTENCES[90:200], "English words only here."]
    paths = [text_of(tmp_path / "a.txt", first), text_of(tmp_path / "b.txt", second)]
    corpus = build_corpus(CorpusSettings(corpus=tuple(map(str, paths))), tmp_path / "cache", progress=False)
    one, two = corpus.report["entries"]
    assert one["dropped"] == {"short": 1, "duplicate": 1, "held_out_seen_in_training": 0}
    assert two["dropped"] == {"script": 1, "duplicate": 10, "held_out_seen_in_training": 0}
    assert corpus.report["dropped"] == {
        "short": 1,
        "script": 1,
        "duplicate": 11,
        "held_out_seen_in_training": 0,
    }
    assert (one["lines"], two["lines"], one["weight"]) == (102, 111, None)
    for name in SPLIT_NAMES:
        whole, parts = corpus.report["splits"][name], (one["splits"][name], two["splits"][name])
        for what in ("sentences", "characters", "available"):
            assert sum(part[what] for part in parts) == whole[what]
    assert sum(part["sentences"] for part in one["splits"].values()) == 100
    said = format_corpus_report(corpus.report)
    assert "a.txt: " in said and "dropped: 1 short, 1 duplicate" in said and "warning" not in said
    json.dumps(corpus.report)


BAD_WEIGHTS = {
    "few": ((1.0,), "corpus_weights has 1 numbers for 2 entries of corpus: give one for each"),
    "many": ((1.0, 1.0, 1.0), "corpus_weights has 3 numbers for 2 entries"),
    "negative": ((1.0, -0.5), r"corpus_weights gives \S*b\.txt the weight -0\.5: use a number from 0 up"),
    "nan": ((math.nan, 1.0), r"corpus_weights gives \S*a\.txt the weight nan"),
    "infinite": ((math.inf, 1.0), r"corpus_weights gives \S*a\.txt the weight inf"),
    "zero": ((0.0, 0.0), "corpus_weights are all 0: give at least one entry of corpus a share"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights_are_one_line_before_anything_is_read(name):
    weights, message = BAD_WEIGHTS[name]
    with pytest.raises(XPTError, match=message) as caught:
        read_recipe(["--corpus", "a.txt", "b.txt", "--corpus_weights", *map(str, weights)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_script_share_is_a_share(share):
    with pytest.raises(XPTError, match=r"min_script_share is .*: use a share from 0 to 1"):
        CorpusSettings(corpus=("a",), min_script_share=share)


def test_entries_that_can_give_nothing_are_refused(tmp_path):
    path, short = text_of(tmp_path / "a.txt", SENTENCES), text_of(tmp_path / "b.txt", ["짧다."])
    for names, message in [
        ((path, path), r"a\.txt has a weight, but all its files also stand in the entries before it"),
        ((path, short), r"b\.txt has a weight but no training sentence, so that no mixture has its share"),
    ]:
        values = CorpusSettings(corpus=tuple(map(str, names)), corpus_weights=(1, 1))
        with pytest.raises(XPTError, match=message):
            build_corpus(values, tmp_path / "cache", progress=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "b.txt"]


# Scripts


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="가나abжд水カ1.,! é", min_size=1, max_size=30), min_size=1, max_size=40))
def test_shares_of_scripts_and_characters_against_regex(tmp_path, lines):
    path = tmp_path / "a.txt"
    text_of(path, [*SENTENCES[:30], *lines])
    corpus = build_from(path, tmp_path / "cache", language="und", min_script_share=0.0)
    text = "".join(line for name in SPLIT_NAMES for line in corpus.split(name))
    names = ("Hangul", "Latin", "Cyrillic", "Han", "Katakana")
    letters = {name: len(regex.findall(rf"\p{{Script={name}}}", text)) for name in names}
    for name, count in letters.items():
        share = count / sum(letters.values())
        assert corpus.report["scripts"].get(name, 0) == (round(share, 4) if share >= 0.0005 else 0)
    (entry,) = corpus.report["entries"]
    for name in SPLIT_NAMES:
        assert entry["splits"][name]["characters"] == sum(map(len, corpus.split(name)))


def test_a_text_in_another_script_is_refused_by_name(tmp_path, capsys):
    path = text_of(tmp_path / "uk.txt", UKRAINIAN)
    flags = ["--corpus", str(path), "--source_model_name_or_path", "none"]
    with pytest.raises(XPTError) as caught:
        build_from(path, tmp_path / "cache", language="ko")
    assert str(caught.value).endswith(
        "(60 lines read; dropped: 60 script): 100% of the letters are Cyrillic, but Korean is written in "
        "Hangul: give the language of the text instead of ko, with its script where that is not the usual "
        "one (sr-Latn)"
    )
    assert main([*flags, "--language", "Ukrainian"]) == 2
    assert "did you mean uk (Ukrainian)?" in capsys.readouterr().err
    assert build_from(path, tmp_path / "cache", language="uk").report["warnings"] == []


def test_what_is_left_of_a_foreign_text_comes_with_a_warning(tmp_path):
    names = (text_of(tmp_path / "ko.txt", SENTENCES), text_of(tmp_path / "mix.txt", UKRAINIAN))
    with open(names[1], "a", encoding="utf-8") as file:
        file.write("나는 오늘도 일찍 집에 간다.\n")
    corpus = build_corpus(CorpusSettings(corpus=tuple(map(str, names))), tmp_path / "cache", progress=False)
    (warning,) = corpus.report["warnings"]
    assert warning.startswith("corpus mix.txt: 99% of the letters are Cyrillic, but Korean is")


@pytest.mark.parametrize(
    ("language", "scripts", "is_foreign"),
    [
        ("ko", {"Hangul": 60, "Latin": 40}, False),
        ("ko", {"Hangul": 40, "Latin": 60}, True),
        ("ja", {"Han": 30, "Hiragana": 29, "Katakana": 1, "Latin": 40}, False),
        ("ja", {"Han": 10, "Hiragana": 20, "Katakana": 15, "Latin": 40}, False),
        ("und", {"Thai": 1}, False),
        ("ko", {}, False),
    ],
)
def test_the_main_script_is_that_of_most_letters(language, scripts, is_foreign):
    assert (foreign_script(language, Counter(scripts)) is not None) == is_foreign
