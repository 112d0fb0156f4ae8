"""Sentences and a tokenizer become token ids on disk, memory-mapped and reused.

Ids are stored without `<s>` and `</s>`: batching adds them. So one file serves every `--max_seq_length`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from xpt.files import write_folder_atomically

BATCH_SENTENCES = 4096


class SentenceSequence(Protocol):
    """What encoding needs of a corpus split: a length and items by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> str: ...


@dataclass(frozen=True)
class EncodedSentences:
    """Token ids of many sentences, without special tokens.

    `ids` is flat, uint16 or uint32, shape (tokens,); sentence i is `ids[offsets[i] : offsets[i + 1]]`,
    so `offsets` has shape (sentences + 1,).
    """

    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def counts(self, vocab_size: int) -> np.ndarray:
        """How often each id occurs, shape (vocab_size,), int64."""
        total = np.zeros(vocab_size, dtype=np.int64)
        for start in range(0, len(self.ids), 1 << 24):
            total += np.bincount(self.ids[start : start + (1 << 24)], minlength=vocab_size)
        return total

    @classmethod
    def load(cls, folder: Path) -> "EncodedSentences":
        """Open a folder that `encode_sentences` wrote; the ids stay on disk."""
        return cls(np.load(folder / "ids.npy", mmap_mode="r"), np.load(folder / "offsets.npy", mmap_mode="r"))


def encode_sentences(
    sentences: SentenceSequence, tokenizer: PreTrainedTokenizerFast, folder: Path, description: str
) -> EncodedSentences:
    """Encode `sentences` into `folder`, or open what stands there.

    The caller names the folder after everything the ids depend on. It appears whole or not at all.
    """
    if not folder.exists():
        dtype = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
        with write_folder_atomically(folder) as staging:
            offsets = [np.zeros(1, dtype=np.int64)]
            with open(staging / "ids.bin", "wb") as raw:
                for batch in _batches(sentences, description):
                    encoded = tokenizer.backend_tokenizer.encode_batch_fast(batch, add_special_tokens=False)
                    lengths = np.fromiter(
                        (len(one.ids) for one in encoded), dtype=np.int64, count=len(encoded)
                    )
                    offsets.append(offsets[-1][-1] + np.cumsum(lengths))
                    raw.write(np.concatenate([np.asarray(one.ids, dtype=dtype) for one in encoded]).tobytes())
            _raw_to_npy(staging / "ids.bin", staging / "ids.npy", dtype)
            np.save(staging / "offsets.npy", np.concatenate(offsets))
    return EncodedSentences.load(folder)


def _batches(sentences: SentenceSequence, description: str):
    with tqdm(
        total=len(sentences), desc=description, unit=" sentences", unit_scale=True, leave=False, disable=None
    ) as bar:
        for start in range(0, len(sentences), BATCH_SENTENCES):
            stop = min(start + BATCH_SENTENCES, len(sentences))
            yield [sentences[index] for index in range(start, stop)]
            bar.update(stop - start)


def _raw_to_npy(raw: Path, npy: Path, dtype: type) -> None:
    """Give a raw array file the header that makes it memory-mappable by name, without loading it."""
    count = raw.stat().st_size // np.dtype(dtype).itemsize
    array = np.lib.format.open_memmap(npy, mode="w+", dtype=dtype, shape=(count,))
    if count:
        array[:] = np.memmap(raw, dtype=dtype, mode="r", shape=(count,))
    array.flush()
    raw.unlink()
