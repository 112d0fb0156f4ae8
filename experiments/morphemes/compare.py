"""Vocabularies of one size from the same text, which is cut before training in different ways.

    python experiments/morphemes/compare.py --text ko_wikipedia_*.txt.xz --work FOLDER [--ways NAME ...]

Each is trained on the same sample of the training split and kept in FOLDER/WAY, for
`experiments/klue/ceilings.py`; one that is there is not trained again. On held-out sentences it is counted
how long pieces are, and how many of the boundaries that the analyzer finds inside of words lie inside of a
piece. The analysis of the training sample is kept in FOLDER, too.
"""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import kiwipiepy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from xpt.program.environment import describe_command, describe_hardware, describe_versions
from xpt.program.files import write_folder_atomically
from xpt.text import tokenizer_training as training
from xpt.text.corpus import CorpusSettings, build_corpus
from xpt.text.cut_text import cut_text
from xpt.text.morphemes import Kiwi, free_boundaries, mark_boundaries
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_convert import sentencepiece_text, wrap_sentencepiece
from xpt.text.tokenizer_training import DEFAULT_CHARACTER_COVERAGE, HANGUL_LETTERS, train_tokenizer

HELD_OUT = 20_000
DELIMITER = "\ue000"  # of private use: the text has none, but as unknown
Analysis = list[tuple[int, int, str]]  # begin, end and tag of each morpheme


def every_morpheme(analysis: Analysis) -> set[int]:
    """As the package does it."""
    return free_boundaries((start, end) for start, end, _ in analysis)


def particles(analysis: Analysis) -> set[int]:
    """Only before and behind particles, the copula, endings: what follows a stem."""
    bound = {edge for start, end, tag in analysis if tag[0] in "JE" or tag == "VCP" for edge in (start, end)}
    return every_morpheme(analysis) & bound


class Stored:
    """A segmenter that has its answers already."""

    identity = "stored"

    def __init__(self, analyses: dict[str, str], cuts: Callable[[Analysis], Collection[int]]) -> None:
        self.analyses, self.cuts = analyses, cuts

    def places(self, sentences: Iterable[str]) -> Iterator[Collection[int]]:
        for sentence in sentences:
            spans = (one.split(":", 2) for one in self.analyses[sentence].split())
            yield self.cuts([(int(start), int(start) + int(length), tag) for start, length, tag in spans])


# Segmenter and model of each way. `delimiter` is SentencePiece's own option, `delimiter_candidates` the same
# with the package's candidates.
WAYS: dict[str, tuple[Callable[[Analysis], set[int]] | None, str]] = {
    "plain": (None, "unigram"),
    "morphemes": (every_morpheme, "unigram"),
    "delimiter": (every_morpheme, "unigram"),
    "delimiter_candidates": (every_morpheme, "unigram"),
    "particles": (particles, "unigram"),
    "plain_bpe": (None, "bpe"),
    "morphemes_bpe": (every_morpheme, "bpe"),
}


def analyze(sentences: list[str], file: Path) -> dict[str, str]:
    """Begin, length and tag of the morphemes of each sentence, kept in `file`."""
    if not file.is_file():
        kiwi = kiwipiepy.Kiwi(num_workers=2)
        staging = file.with_suffix(".part")
        with staging.open("w", encoding="utf-8") as written:
            for sentence, tokens in zip(sentences, kiwi.tokenize(iter(sentences)), strict=True):
                shown = " ".join(f"{one.start}:{one.len}:{one.tag}" for one in tokens)
                written.write(f"{sentence}\n{shown}\n")
        staging.replace(file)
    lines = file.read_text(encoding="utf-8").split("\n")
    return dict(zip(lines[::2], lines[1::2], strict=False))


def train(way: str, sample: list[str], analyses: dict[str, str], vocab_size: int) -> Any:
    """The tokenizer of a way."""
    cuts, kind = WAYS[way]
    segmenter = Stored(analyses, cuts) if cuts else None
    letters = {"required_characters": HANGUL_LETTERS}
    if not way.startswith("delimiter"):
        return train_tokenizer(sample, vocab_size, kind, segmenter=segmenter, **letters)
    places = segmenter.places(sample) if segmenter else ()
    marked = [mark_boundaries(text, at, DELIMITER) for text, at in zip(sample, places, strict=True)]
    options = {"model_type": kind, "character_coverage": DEFAULT_CHARACTER_COVERAGE, "byte_fallback": False}
    options |= {"required_chars": HANGUL_LETTERS, "pretokenization_delimiter": DELIMITER}
    candidates = cut_text(sample, segmenter).candidates() if segmenter and way != "delimiter" else ""
    model = training._train(training._Stream(marked), vocab_size, options, candidates)
    return wrap_sentencepiece(model, kind, byte_fallback=False, model_max_length=None)


def describe(tokenizer: Any, sentences: list[str], places: list[set[int]]) -> dict[str, Any]:
    """How it reads held-out text."""
    encoded = tokenizer(sentences, add_special_tokens=False, return_offsets_mapping=True)
    tokens = [one for ids in encoded["input_ids"] for one in ids]
    boundaries = crossed = 0
    for text, found, offsets in zip(sentences, places, encoded["offset_mapping"], strict=True):
        inside = {place for start, end in offsets for place in range(start + 1, end)}
        within = {p for p in found if 0 < p < len(text) and " " not in (text[p - 1], text[p])}
        boundaries += len(within)
        crossed += len(within & inside)
    return {
        "pieces_per_word": round(len(tokens) / sum(len(text.split()) for text in sentences), 4),
        "characters_per_piece": round(sum(map(len, sentences)) / len(tokens), 4),
        "unknown_share": round(tokens.count(tokenizer.unk_token_id) / len(tokens), 6),
        "pieces_used": len(set(tokens)),
        "boundaries": boundaries,
        "boundaries_inside_of_a_piece": round(crossed / boundaries, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", nargs="+", required=True, help="files as for --corpus, Korean")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--sentences", type=int, default=500_000, help="of the training split, a sample")
    parser.add_argument("--vocab_size", type=int, default=32_000)
    parser.add_argument("--output", type=Path, help="where the result is stored, a JSON file")
    given = parser.parse_args()
    corpus = build_corpus(CorpusSettings(tuple(given.text)), given.work / "cache")
    sample = [sentencepiece_text(s) for s in training._sample(corpus.split("train"), given.sentences)]
    kiwi = Kiwi()
    analyses = analyze(sample, given.work / f"analysis_{given.sentences}.txt")
    held_out = list(corpus.split("validation")[:HELD_OUT])
    places = [set(found) for found in kiwi.places(held_out)]
    result: dict[str, Any] = {
        "command": describe_command(__file__, [Path(one).name for one in sys.argv[1:]]),
        "versions": {**describe_versions(), "analyzer": kiwi.identity},
        "hardware": describe_hardware(),
        "seed": "0, of the sample",
        "sentences": {"training": len(sample), "held_out": len(held_out)},
        "ways": {},
    }
    for way in given.ways:
        folder = given.work / way
        if not folder.is_dir():
            with write_folder_atomically(folder) as staging:
                save_tokenizer(train(way, sample, analyses, given.vocab_size), staging)
        result["ways"][way] = describe(load_tokenizer(folder), held_out, places)
        print(way, result["ways"][way], flush=True)
    if given.output:
        given.output.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
