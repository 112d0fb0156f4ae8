"""Does the fast tokenizer give SentencePiece's ids on real text? Prints and stores counts as JSON.

    python experiments/tokenizer_agreement.py --tokenizer tokenizer --text PATH [COLUMN=PATH ...] \\
        --cache FOLDER --output experiments/tokenizer_agreement.json

Each corpus is cleaned as for training (`xpt.text.corpus`), and lines are taken from all of them in turn.
Every line is compared as it is, every tenth also decomposed (NFD), and every tenth with a hard case put
between two words: jamo alone, emoji with joiners, flags, variation selectors, invisible characters, odd
blanks.
"""

import argparse
import itertools
import json
import random
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from xpt.program.errors import XPTError
from xpt.text.corpus import SPLIT_NAMES, CorpusSettings, build_corpus
from xpt.text.tokenizer import load_tokenizer, sentencepiece_processor, tokenizer_fingerprint

JAMO = (
    "ㅋㅋㅋㅋㅋㅋㅋ",
    "ㅠㅠ",
    "ㅇㅋ?",
    "ㄱㅏㄴㅏ",
    "ㄳ",
    "\u1100\u1161\u11a8",
    "\u11a8",
    "가\u11a8",
    "\u1112\u1161\u11ab글",
)
EMOJI = (
    "👨\u200d👩\u200d👧\u200d👦",
    "👩🏽\u200d💻를",
    "🇰🇷은",
    "❤\ufe0f",
    "❤",
    "1\ufe0f\u20e3",
    "😀😀😀",
    "\u200d",
    "\ufe0f",
)
INVISIBLE = tuple("\xa0\u3000\t\u200b\xad\ufeff\u2581\u202a\u3164")
OTHER = (
    "㈜한국",
    "①②③",
    "ＡＢＣ１２３",
    "½",
    "x²",
    "…",
    "“인용”",
    "漢字와",
    "ไทย",
    "العربية",
    "𝔘𝔫𝔦",
    "a\u0323\u0301",
)
RUNS = ("111111111", "aaaaaaaaa", "뷁쉛뜗", "꿹꿹꿹", "  ")
HARD = JAMO + EMOJI + INVISIBLE + OTHER + RUNS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokenizer", default="tokenizer")
    parser.add_argument(
        "--text", nargs="+", required=True, help="files as for --corpus, tables as COLUMN=PATH"
    )
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the places of the hard cases")
    parser.add_argument("--cache", type=Path, default=Path("data/agreement"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    try:
        result = measure(arguments)
    except XPTError as error:
        sys.exit(f"error: {error}")
    text = json.dumps(result, ensure_ascii=False, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Counts of compared texts and of those whose ids differ, by kind, with the first few that do."""
    tokenizer = load_tokenizer(arguments.tokenizer)
    processor = sentencepiece_processor(tokenizer)
    lines = itertools.islice(
        alternate([_sentences(text, arguments.cache) for text in arguments.text]), arguments.lines
    )
    compared: dict[str, int] = {}
    differing: dict[str, int] = {}
    examples: list[str] = []
    for kind, text in _variants(tqdm(lines, total=arguments.lines), random.Random(arguments.seed)):
        compared[kind] = compared.get(kind, 0) + 1
        expected = processor.encode(unicodedata.normalize("NFC", text))
        if tokenizer.encode(text, add_special_tokens=False) != expected:
            differing[kind] = differing.get(kind, 0) + 1
            examples.append(text)
    return {
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "versions": {name: version(name) for name in ("sentencepiece", "tokenizers", "transformers")},
        "compared": compared,
        "differing": {kind: differing.get(kind, 0) for kind in compared},
        "examples": examples[:10],
    }


def alternate(streams: list[Iterator[str]]) -> Iterator[str]:
    """One item of each stream in turn; a stream that ends is left out from then on."""
    while streams:
        for stream in list(streams):
            item = next(stream, None)
            if item is None:
                streams.remove(stream)
            else:
                yield item


def _sentences(text: str, cache: Path) -> Iterator[str]:
    column, _, path = text.rpartition("=")
    corpus = build_corpus(CorpusSettings((path,), column=column or None), cache)
    return itertools.chain.from_iterable(corpus.split(split) for split in reversed(SPLIT_NAMES))


def _variants(lines: Iterable[str], chance: random.Random) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        yield "as cleaned", line
        if number % 10 == 0:
            yield "decomposed", unicodedata.normalize("NFD", line)
        if number % 10 == 5:
            words = line.split(" ")
            at = chance.randrange(len(words) + 1)
            glue = chance.choice(("", " "))
            yield "hard case", " ".join(words[:at]) + glue + chance.choice(HARD) + glue + " ".join(words[at:])


if __name__ == "__main__":
    main()
