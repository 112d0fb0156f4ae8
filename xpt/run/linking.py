"""The tokens of sentence pairs are linked, in both directions, and the links kept in the cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from xpt.program.files import write_folder_atomically
from xpt.program.manifest import is_whole, write_manifest
from xpt.text.encoding import EncodedSentences
from xpt.text.word_marks import word_starts
from xpt.transplant.embeddings.aligner import Links, align_blocks
from xpt.transplant.embeddings.links import piece_links

LINKS_BUILD = "1"  # raised when the same pairs are linked otherwise
StoredLinks = tuple[np.ndarray, np.ndarray]  # (links, 2), and (pairs + 1,) where those of each pair begin


def link_pairs(
    there: EncodedSentences,
    here: EncodedSentences,
    words: list[Links] | None,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
) -> tuple[StoredLinks, StoredLinks]:
    """Links of each pair (read piece, predicted piece), read there and predicted here, and the other way.

    Args:
        there, here: pieces of the source's language and of the target's.
        words: links of their words, where they were given; else the aligner finds those of pieces, in each
            direction by itself.
        tokenizer: tells by its pieces where words start.
        folder: where links are kept.
    """
    starts = word_starts(tokenizer) if words else None

    def linked(read: EncodedSentences, predicted: EncodedSentences, turned: bool) -> list[Links]:
        if words is None or starts is None:
            return align_blocks([(a.tolist(), b.tolist()) for a, b in zip(read, predicted, strict=True)])
        given = [[link[::-1] for link in links] for links in words] if turned else words
        sides = zip(given, read, predicted, strict=True)
        return [piece_links(links, starts[a], starts[b]) for links, a, b in sides]

    return (
        _stored(folder / "forward", lambda: linked(there, here, False)),
        _stored(folder / "backward", lambda: linked(here, there, True)),
    )


def _stored(folder: Path, link: Callable[[], list[Links]]) -> StoredLinks:
    if not is_whole(folder):
        print("Linking the tokens of sentence pairs ...", flush=True)
        found = link()
        flat = np.asarray([pair for links in found for pair in links], dtype=np.int32).reshape(-1, 2)
        with write_folder_atomically(folder) as staging:
            np.save(staging / "links.npy", flat)
            np.save(staging / "offsets.npy", np.cumsum([0, *map(len, found)]))
            write_manifest(staging, {})
    links, offsets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("links", "offsets"))
    return links, offsets
