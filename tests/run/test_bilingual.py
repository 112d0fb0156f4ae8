"""Text of the source's language and sentence pairs: what is read, linked, left out and refused."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from configuration_trelm import TreLMRobertaConfig
from train_xpt import main
from xpt.recipe.command_line import read_recipe
from xpt.run.preparation import prepare_text
from xpt.text.masking import MLMCollator
from xpt.text.packing import Row
from xpt.text.reading import TO_SOURCE, TO_TARGET
from xpt.text.word_marks import word_starts
from xpt.transplant.embeddings.links import piece_links

CDLM = [{"name": "one", "train": "all", "steps": 1, "objective": "cdlm+mlm"}]
ENGLISH = ["north", "south", "river", "house", "winter", "school", "letter", "orange"]


@pytest.fixture
def trelm(options, tmp_path):
    """Give `trelm(pairs, phases)` the flags of a TreLM that reads these pairs."""

    def make(pairs=(("a river", "강물"),) * 3, phases=CDLM, **changes):
        (tmp_path / "pairs.tsv").write_text("".join("\t".join(pair) + "\n" for pair in pairs), "utf-8")
        given = {
            "architecture": "trelm",
            "source_num_layers": 2,
            "parallel": tmp_path / "pairs.tsv",
            "phases": json.dumps(phases),
            "phase1_steps": None,
            "phase2_steps": None,
        }
        return options(**{**given, **changes})

    return make


@pytest.fixture
def turned_pairs(corpus_file):
    """Give `turned_pairs(count)` sentences and their words translated, the last one first."""
    counts = Counter(corpus_file.read_text(encoding="utf-8").split())
    korean = [word for word, _ in counts.most_common() if word.isalpha()][: len(ENGLISH)]
    return lambda count: _turned_pairs(korean, count)


def turned(words: list) -> list:
    """The last one first: neither the same order nor its own inverse."""
    return [words[-1], *words[:-1]]


def _turned_pairs(korean: list[str], count: int) -> list[tuple[str, str]]:
    draw = random.Random(1)
    chosen = [draw.sample(range(len(ENGLISH)), draw.randrange(3, 7)) for _ in range(count)]
    return [(" ".join(ENGLISH[n] for n in one), " ".join(korean[n] for n in turned(one))) for one in chosen]


def links_of(pairs, index: int) -> list[tuple[int, int]]:
    return pairs.links[pairs.link_offsets[index] : pairs.link_offsets[index + 1]].tolist()


def words_of(tokenizer, ids: np.ndarray) -> list[int]:
    """The word that each piece is of."""
    return (np.cumsum(word_starts(tokenizer)[ids]) - 1).tolist()


@pytest.mark.parametrize("given", [True, False])
def test_pieces_are_linked_in_both_directions(trelm, turned_pairs, tmp_path, given):
    """By links of words that are given, and by the aligner, which finds their order."""
    sentences = turned_pairs(200)
    changes = {"vocab_size": 500}
    if given:
        counts = [len(there.split()) for there, _ in sentences]
        lines = [" ".join(f"{n}-{(n + 1) % count}" for n in range(count)) for count in counts]
        (tmp_path / "links").write_text("\n".join(lines) + "\n")
        changes["alignments"] = tmp_path / "links"
    text = prepare_text(read_recipe([*trelm(sentences, **changes), "--output_dir", str(tmp_path / "run")]))
    blank = text.tokenizer.convert_tokens_to_ids("▁")  # it translates nothing, so that chance links it
    right = found = expected = 0
    for direction, (read, predicted) in {TO_TARGET: (0, 1), TO_SOURCE: (1, 0)}.items():
        pairs = text.bilingual.pairs[direction]
        assert pairs.languages == (read, predicted) and len(pairs) == 200
        for index in range(200):
            there, here = (words_of(text.tokenizer, side[index]) for side in (pairs.source, pairs.target))
            links = links_of(pairs, index)
            telling = [pairs.source[index] != blank, pairs.target[index] != blank]
            told = [(one, other) for one, other in links if telling[0][one] and telling[1][other]]
            count, step = max(there) + 1, 1 if direction == TO_TARGET else -1
            right += sum((there[one] + step) % count == here[other] for one, other in told)
            found, expected = found + len(told), expected + telling[1].sum()
            if given:
                assert [other for _, other in sorted(links, key=lambda link: link[1])] == [*range(len(here))]
    assert right == found if given else right > 0.9 * found
    assert found > 0.4 * expected


def test_each_text_has_the_row_of_its_language(trelm, turned_pairs, tmp_path):
    """Row 0 is the source's language, row 1 the target's, which a model takes where nobody says."""
    text = prepare_text(read_recipe([*trelm(turned_pairs(20)), "--output_dir", str(tmp_path / "run")]))
    own = MLMCollator(text.train, 0.3, 1, packing=True)
    kinds = ("source", "target", TO_SOURCE, TO_TARGET)
    batch = text.bilingual.collator(own, kinds)([Row(0, np.asarray([0]), kind=kind) for kind in kinds])
    assert batch["language_ids"].flatten().tolist() == [0, 1, 1, 0]
    assert batch["target_language_ids"].flatten().tolist() == [0, 1, 0, 1]
    assert TreLMRobertaConfig().default_language == 1


def test_the_vocabulary_is_of_both_languages(trelm, turned_pairs, tmp_path):
    sentences = turned_pairs(200)
    text = prepare_text(read_recipe([*trelm(sentences), "--output_dir", str(tmp_path / "run")]))
    for sentence, _ in sentences[:20]:
        assert text.tokenizer.unk_token_id not in text.tokenizer(sentence)["input_ids"]
    assert len(text.bilingual.source) == len({sentence for sentence, _ in sentences})
    assert len(text.sample(10**9)) == len(text.train.sample(10**9)) + len(text.bilingual.source)


def test_pairs_that_would_leak_or_cannot_be_linked_are_left_out(trelm, turned_pairs, tmp_path):
    command = [*trelm(turned_pairs(20)), "--output_dir", str(tmp_path / "run")]
    held_out = next(iter(prepare_text(read_recipe(command)).corpus.split("test")))
    extra = [("the north", held_out), ("", "강물"), ("river " * 120, "강물"), ("a house", "가옥")]
    trelm([*turned_pairs(20), *extra])
    bilingual = prepare_text(read_recipe(command)).bilingual
    assert bilingual.left_out == {"empty": 1, "held_out": 1, "too_long": 1}
    assert [len(pairs) for pairs in bilingual.pairs.values()] == [21, 21]
    assert str(bilingual).endswith("21 sentence pairs; left out: 1 empty, 1 held out, 1 too long")


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        ([1, 0, 0], [1, 0, 0], [(0, 0), (1, 1), (2, 2)]),
        ([1], [1, 0, 0], [(0, 0), (0, 1), (0, 2)]),
        ([1, 0, 0, 0], [1, 0], [(0, 0), (2, 1)]),
        ([0, 0], [0], [(0, 0)]),  # a first piece without a mark starts a word
    ],
)
def test_pieces_of_linked_words_stand_side_by_side(there, here, expected):
    starts = (np.asarray(side, dtype=bool) for side in (there, here))
    assert piece_links([(0, 0), (3, 0), (0, 3)], *starts) == expected


@pytest.mark.parametrize(
    ("changes", "phase", "message"),
    [
        ({"parallel": None}, {}, "phase 'one': objective cdlm+mlm needs --parallel"),
        ({"architecture": "xpt"}, {}, "phase 'one' reads two languages, for which --architecture trelm"),
        ({"parallel": None}, {"objective": "mlm", "languages": "both"}, "languages both needs text"),
        ({"corpus": None}, {}, "no text: give --corpus"),
        ({}, {"objective": "mlm"}, "--parallel has no effect"),
        ({}, {"objective": "nlm"}, "objective is 'nlm'; give mlm, cdlm, cdlm+mlm or clm"),
        ({}, {"direction": "back"}, "direction is 'back'; give to_target or to_source"),
        ({}, {"objective": "mlm", "direction": "to_source"}, "direction is for objective cdlm"),
        ({}, {"objective": "cdlm", "languages": "both"}, "objective cdlm masks none"),
        ({}, {"mixture": {"cdlm": 0, "mlm": 1}}, "give rows of each by turns"),
        ({}, {"objective": "cdlm", "mixture": {"cdlm": 1, "mlm": 1}}, "mixture is for objective cdlm+mlm"),
    ],
)  # fmt: skip
def test_what_phases_lack_is_said_first(trelm, tmp_path, capsys, changes, phase, message):
    command = trelm(phases=[{**CDLM[0], **phase}], **changes)
    assert main([*command, "--output_dir", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_columns_that_are_no_pair_are_refused(trelm, tmp_path, capsys):
    command = trelm([("a river", "강물"), ("alone",)])
    assert main([*command, "--output_dir", str(tmp_path / "run")]) == 2
    assert "line 2 has no tab between two sentences" in capsys.readouterr().err


def test_rows_of_each_objective_are_as_many_as_the_mixture_says(trelm, tmp_path):
    recipe = read_recipe(trelm(phases=[{**CDLM[0], "mixture": {"cdlm": 3, "mlm": 1}, "languages": "both"}]))
    (phase,) = recipe.planned_phases()
    assert phase.turns == ("to_target",) * 6 + ("target", "source")
