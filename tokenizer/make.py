"""Make the shipped Korean tokenizer again, measure it on held-out text, and write its note.

    python tokenizer/make.py --wikipedia FILES --reviews FILE --bills ARCHIVE [--morphemes]

It is trained on the training splits only, as `xpt.text.corpus` draws them with its default split seed: no
sentence of a validation or test split is seen. Bills are split by document: they share much boilerplate.
Everything measured goes to `made.json`, and README.md is rendered from that.
"""

import argparse
import hashlib
import json
import sys
import tarfile
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.text.corpus import Corpus, CorpusSettings, build_corpus
from xpt.text.morphemes import Kiwi, Segmenter
from xpt.text.tokenizer import SENTENCEPIECE_FILE, load_tokenizer, save_tokenizer, tokenizer_fingerprint
from xpt.text.tokenizer_training import DEFAULT_CHARACTER_COVERAGE, HANGUL_LETTERS, train_tokenizer

VOCAB_SIZE = 32_000
FILES = ("tokenizer.json", "tokenizer_config.json", SENTENCEPIECE_FILE)
BILLS_TABLE = "data/bill_texts.parquet"  # inside the archive
MEASURED_SENTENCES = 20_000
LIBRARIES = ("sentencepiece", "tokenizers", "transformers", "sentencex")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wikipedia", nargs="+", required=True, help="WikiExtractor output, .txt or .txt.xz")
    parser.add_argument("--reviews", required=True, help="NSMC, tab-separated with a column `document`")
    parser.add_argument(
        "--bills", required=True, help="korean_assembly_bills-0.1.0.tar.gz, the source distribution"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument(
        "--cache", type=Path, default=Path("data/tokenizer"), help="where the corpora are built"
    )
    parser.add_argument("--morphemes", action="store_true", help="let no piece cross morphemes, by kiwipiepy")
    arguments = parser.parse_args()
    try:
        segmenter = Kiwi() if arguments.morphemes else None
        make(build_corpora(arguments), arguments.output, segmenter)
    except XPTError as error:
        sys.exit(f"error: {error}")


def build_corpora(arguments: argparse.Namespace) -> dict[str, Corpus]:
    """The three corpora by name; each has a column of its own, so each is built alone."""
    settings = {
        "wikipedia": CorpusSettings(tuple(arguments.wikipedia)),
        "reviews": CorpusSettings((arguments.reviews,), column="document"),
        "bills": CorpusSettings(
            (str(_unpack_bills(Path(arguments.bills), arguments.cache)),),
            column="propose_reason",
            split_by="document",
        ),
    }
    return {name: build_corpus(one, arguments.cache) for name, one in settings.items()}


def make(corpora: dict[str, Corpus], output: Path, segmenter: Segmenter | None = None) -> None:
    """Train, save, measure, and write `made.json` and the note."""
    sentences = chain.from_iterable(corpus.split("train") for corpus in corpora.values())
    letters = {"required_characters": HANGUL_LETTERS}
    tokenizer = train_tokenizer(sentences, VOCAB_SIZE, segmenter=segmenter, **letters)
    save_tokenizer(tokenizer, output)
    loaded = load_tokenizer(output)
    record = {
        "vocab_size": len(loaded),
        "model_type": "unigram",
        "character_coverage": DEFAULT_CHARACTER_COVERAGE,
        **({"morphemes": segmenter.identity} if segmenter else {}),
        "single_characters": sum(len(piece.lstrip("▁")) == 1 for piece in loaded.get_vocab()),
        "corpora": {name: _describe(corpus, loaded) for name, corpus in corpora.items()},
        "versions": {name: version(name) for name in LIBRARIES},
        "sha256": {name: hashlib.sha256((output / name).read_bytes()).hexdigest() for name in FILES},
        "fingerprint": tokenizer_fingerprint(loaded),
    }
    (output / "made.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    (output / "README.md").write_text(render_note(record), encoding="utf-8")


def _unpack_bills(archive: Path, folder: Path) -> Path:
    target = folder / Path(BILLS_TABLE).name
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            (member,) = (member for member in tar if member.name.endswith("/" + BILLS_TABLE))
            content = tar.extractfile(member)
            assert content is not None  # a member found by its file name is a file
            target.write_bytes(content.read())
    return target


def _describe(corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    held_out = corpus.split("validation")[:MEASURED_SENTENCES]
    tokens = list(chain.from_iterable(tokenizer(held_out, add_special_tokens=False)["input_ids"]))
    words = sum(len(sentence.split()) for sentence in held_out)
    characters = sum(map(len, held_out))
    return {
        "corpus_fingerprint": corpus.fingerprint,
        "train_sentences": len(corpus.split("train")),
        "train_characters": sum(map(len, iter(corpus.split("train")))),
        "held_out_sentences": len(held_out),
        "tokens_per_word": round(len(tokens) / words, 4),
        "characters_per_token": round(characters / len(tokens), 4),
        "unknown_share": round(tokens.count(tokenizer.unk_token_id) / len(tokens), 6),
        "pieces_used": len(set(tokens)),
    }


SOURCES = {
    "wikipedia": "Korean Wikipedia (about December 2022, WikiExtractor output, a random sample of 49,784 "
    "articles), by its authors, CC BY-SA 4.0",
    "reviews": "Naver Sentiment Movie Corpus, raw reviews, by Lucy Park (github.com/e9t/nsmc), CC0 1.0",
    "bills": "Bills of the Korean National Assembly, reasons for proposal, by Kyusik Yang (PyPI "
    "`korean-assembly-bills` 0.1.0, source distribution), CC BY 4.0",
}


def render_note(record: dict[str, Any]) -> str:
    """README.md from `made.json`."""
    corpora = record["corpora"]
    data = "\n".join(
        f"| {SOURCES[name]} | {one['train_sentences']:,} | {one['train_characters'] / 1e6:.1f} M |"
        for name, one in corpora.items()
    )
    measured = "\n".join(
        f"| {name} | {one['held_out_sentences']:,} | {one['tokens_per_word']:.2f} "
        f"| {one['characters_per_token']:.2f} | {one['unknown_share']:.3%} | {one['pieces_used']:,} |"
        for name, one in corpora.items()
    )
    hashes = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in record["sha256"].items())
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    cut = record.get("morphemes")
    return NOTE.format(
        data=data,
        measured=measured,
        hashes=hashes,
        versions=versions,
        morphemes=MORPHEMES.format(cut=cut) if cut else "",
        option=" --morphemes" if cut else "",
        **{k: record[k] for k in NOTE_FIELDS},
    )


NOTE_FIELDS = ("vocab_size", "model_type", "character_coverage", "single_characters", "fingerprint")
MORPHEMES = """
Before training, words were cut into morphemes by {cut}: no piece crosses such a cut. Reading text needs
no analyzer.
"""
NOTE = """# A ready Korean tokenizer

{vocab_size:,} pieces, SentencePiece {model_type}, loaded by `AutoTokenizer.from_pretrained("tokenizer")`
without remote code. `<s>`=0, `<pad>`=1, `</s>`=2, `<unk>`=3, `<mask>` is the last id. This note is rendered
by `make.py`; do not edit it.

## Training text

| text | training sentences | characters |
|-|-|-|
{data}

Only the training splits of these corpora (`xpt.text.corpus`, default settings and split seed; bills split by
document), all sentences of them, cleaned, without duplicates. The vocabulary holds words and parts of words
with their frequencies, no text. Attribution as in the table.
{morphemes}
## What it does to a text

NFC; blanks of every kind become one space; invisible characters (controls, soft hyphens, zero-width spaces,
direction marks) are dropped. Nothing else: no NFKC, so that ㅋㅋ, ㈜, ①, ² and Ａ stay what they are.
Characters beyond a coverage of {character_coverage} are `<unk>`; the 51 single Hangul letters are always in.
{single_characters:,} pieces are single characters. A word mark `▁` stands before the first word and for each
space; `<mask>` takes the space before it, so `나는<mask>를` (a suffix follows) differs from `나는 <mask> 를`
(a word follows).

Offsets point into the text as it was given: strip the slice. In decomposed text (NFD, file names of macOS)
an offset ends behind the first jamo of its last syllable; `xpt.text.surface.surface_spans` gives
whole ones, and strips.

`sentencepiece.model` gives the same ids for NFC text, literal special tokens apart
(`experiments/tokenizer_agreement.py`). Its scores are rounded to 1/512;
`xpt/text/tokenizer_convert.py` says why.

## On held-out text (validation splits)

| text | sentences | tokens per word | characters per token | unknown tokens | pieces seen |
|-|-|-|-|-|-|
{measured}

## Made by

    pip download --no-deps --no-binary :all: korean-assembly-bills==0.1.0
    python tokenizer/make.py --wikipedia ko_wikipedia_*.txt.xz --reviews nsmc_train.tsv.xz \\
        --bills korean_assembly_bills-0.1.0.tar.gz{option}

with {versions}. The same text gives the same bytes:

| file | SHA-256 |
|-|-|
{hashes}

Fingerprint (`xpt.text.tokenizer.tokenizer_fingerprint`): `{fingerprint}`
"""


if __name__ == "__main__":
    main()
