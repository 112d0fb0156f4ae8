"""Sentences and a tokenizer become token ids on disk, memory-mapped and reused.

Ids are stored without `<s>` and `</s>`, which `xpt.text.examples` adds: one file serves every
`--max_seq_length`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from xpt.program.files import write_folder_atomically
from xpt.program.manifest import is_whole, write_manifest
from xpt.text.arrays import ArrayWriter
from xpt.text.quick_encoding import batch_encoder
from xpt.text.special_tokens import id_count

BATCH_SENTENCES = 4096
COUNTED_AT_ONCE = 1 << 20  # ids; NumPy makes each 8 bytes wide to count it


class SentenceSequence(Protocol):
    """What encoding needs of a corpus split: a length, and to be read through."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class EncodedSentences:
    """Token ids of many sentences, without special tokens.

    `ids` is flat, uint16 or uint32, shape (tokens,); sentence i is `ids[offsets[i] : offsets[i + 1]]`,
    so `offsets` has shape (sentences + 1,).
    """

    ids: np.ndarray
    offsets: np.ndarray
    stored_counts: np.ndarray | None = None  # of each id, left by encoding: a second start counts nothing

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> np.ndarray:
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def joined(self, other: "EncodedSentences") -> "EncodedSentences":
        """These sentences and then the others, in memory."""
        ids = np.concatenate((self.ids, other.ids))
        return EncodedSentences(ids, np.concatenate((self.offsets, other.offsets[1:] + self.offsets[-1])))

    def counts(self, vocab_size: int) -> np.ndarray:
        """How often each id occurs, shape (vocab_size,), int64."""
        if self.stored_counts is not None and len(self.stored_counts) == vocab_size:
            return self.stored_counts.copy()
        total = np.zeros(vocab_size, dtype=np.int64)
        for start in range(0, len(self.ids), COUNTED_AT_ONCE):
            total += np.bincount(self.ids[start : start + COUNTED_AT_ONCE], minlength=vocab_size)
        return total

    @classmethod
    def of(cls, sentences: Sequence[np.ndarray]) -> "EncodedSentences":
        """The ids of each sentence, in memory; there is at least one."""
        return cls(np.concatenate(sentences), np.cumsum([0, *map(len, sentences)], dtype=np.int64))

    @classmethod
    def load(cls, folder: Path) -> "EncodedSentences":
        """Open a folder that `encode_sentences` wrote; the ids stay on disk."""
        ids, offsets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "offsets"))
        counts = folder / "counts.npy"  # a shard of a larger corpus has none of its own
        return cls(ids, offsets, np.load(counts) if counts.exists() else None)


def encode_sentences(
    sentences: SentenceSequence, tokenizer: PreTrainedTokenizerFast, folder: Path, description: str
) -> EncodedSentences:
    """Encode `sentences` into `folder`, or open what stands there.

    The caller names the folder after everything the ids depend on. It appears whole or not at all; one that
    was damaged since is named and made anew.
    """
    if not is_whole(folder):
        vocab_size = id_count(tokenizer)
        dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
        with write_folder_atomically(folder) as staging:
            with (
                ArrayWriter(staging / "ids.npy", dtype) as ids,
                ArrayWriter(staging / "offsets.npy", np.int64) as offsets,
            ):
                offsets.append(np.zeros(1))
                end, counts = 0, np.zeros(vocab_size, np.int64)
                encode = batch_encoder(tokenizer)
                for batch in _batches(sentences, description):
                    encoded = encode(batch)
                    ends = end + np.cumsum([len(one) for one in encoded])
                    flat = np.fromiter(chain.from_iterable(encoded), dtype, int(ends[-1]) - end)
                    counts += np.bincount(flat, minlength=len(counts))
                    ids.append(flat)
                    offsets.append(ends)
                    end = int(ends[-1])
            np.save(staging / "counts.npy", counts)
            write_manifest(staging, {})
    return EncodedSentences.load(folder)


def _batches(sentences: SentenceSequence, description: str):
    with tqdm(
        total=len(sentences), desc=description, unit=" sentences", unit_scale=True, leave=False, disable=None
    ) as bar:
        # Read through, not by index: pages of a memory map would count as this process's memory.
        left = iter(sentences)
        while batch := list(islice(left, BATCH_SENTENCES)):
            yield batch
            bar.update(len(batch))
