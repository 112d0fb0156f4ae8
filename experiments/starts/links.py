"""Links of the built-in aligner in real sentence pairs, to be judged by eye.

    python experiments/starts/links.py SOURCE --text KO.txt.xz --parallel PAIRS.tsv.xz > links.tsv

SOURCE is an English encoder with its tokenizer. A tokenizer is trained on the text, 2,000 sentence pairs are
aligned, and 50 of their links are drawn by seed, each with the word that the piece stands in. `links.json`
has a person's judgment of each.
"""

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sample import some_pairs, text_lines  # it stands beside this script

from xpt.text.tokenizer import load_tokenizer
from xpt.text.tokenizer_training import train_tokenizer
from xpt.transplant.embeddings import Vocabulary
from xpt.transplant.embeddings.aligner import align_both


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--text", required=True)
    parser.add_argument("--parallel", required=True)
    parser.add_argument("--lines", type=int, default=60_000, help="of the text")
    parser.add_argument("--pairs", type=int, default=2_000, help="of --parallel, evenly chosen")
    parser.add_argument("--links", type=int, default=50)
    parser.add_argument("--vocab_size", type=int, default=8_000)
    given = parser.parse_args()
    text = text_lines(given.text, given.lines)
    target = Vocabulary.of(train_tokenizer(text, given.vocab_size))
    source = Vocabulary.of(load_tokenizer(given.source))
    pairs = some_pairs(given.parallel, given.pairs).pairs
    theirs, ours = source.encode([pair[0] for pair in pairs]), target.encode([pair[1] for pair in pairs])
    linked = align_both(list(zip(theirs, ours, strict=True)))
    found = [(index, *link) for index, links in sorted(linked.items()) for link in sorted(links)]
    print(f"{len(found):,} links in {len(linked):,} sentence pairs", file=sys.stderr)
    for index, one, other in sorted(random.Random(0).sample(found, given.links)):
        english, korean = theirs[index], ours[index]
        print(source.pieces[english[one]], target.pieces[korean[other]], *pairs[index], sep="\t")


if __name__ == "__main__":
    main()
