"""Cleaning on every core: documents go out in chunks and come back as sentences, in the order they went.

What comes back is a function of the documents alone, so one process and many write the same bytes. Reading
stays in the calling process, which names the file and line of what is wrong there.
"""

import gc
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from xpt.corpus.documents import Document
from xpt.corpus.select import line_digest
from xpt.corpus.sentences import DocumentCleaner, Tally
from xpt.corpus.settings import CorpusSettings
from xpt.environment import available_cores
from xpt.errors import XPTError
from xpt.interrupts import SIGNALS

_CHUNK_CHARACTERS = 1 << 18  # a few thousand sentences: a fifth of a second of work
_DOCUMENT_COST = 100  # characters whose cleaning takes as long as handling one document more
_AHEAD = 2  # chunks a worker that wait to be cleaned or written, so that none is idle and few are held
# Reading takes a third of the time that cleaning does: more workers than this would wait for it.
_MOST_WORKERS = 8


@dataclass(frozen=True)
class CleanChunk:
    """The sentences of some documents, as the raw files hold them, and what cleaning found on the way."""

    text: bytes  # a sentence a line
    hashes: bytes  # uint64, little-endian, one a sentence
    lengths: np.ndarray  # uint32, bytes of each line with its end
    documents: list[tuple[int, bool]]  # sentences of each document; whether the next continues it
    tallies: list[Tally]  # of each entry of `corpus`


def available_workers() -> int:
    """How many processes clean unless somebody says otherwise: the cores that this process may use."""
    return min(available_cores(), _MOST_WORKERS)


def clean_chunk(documents: list[Document], settings: CorpusSettings) -> CleanChunk:
    """Clean, split and hash the sentences of `documents`."""
    cleaner = DocumentCleaner(settings)
    lines: list[bytes] = []
    hashes: list[bytes] = []
    sizes: list[tuple[int, bool]] = []
    for document in documents:
        before = len(lines)
        for sentence in cleaner.sentences(document):
            line = sentence.encode("utf-8")
            hashes.append(line_digest(line, settings.split_seed))
            lines.append(line + b"\n")
        sizes.append((len(lines) - before, document.continued))
    lengths = np.fromiter(map(len, lines), np.uint32, len(lines))
    return CleanChunk(b"".join(lines), b"".join(hashes), lengths, sizes, cleaner.tallies)


def clean_documents(
    documents: Iterable[Document], settings: CorpusSettings, workers: int
) -> Generator[CleanChunk, None, None]:
    """Clean `documents` with up to `workers` processes; 1 cleans here, and so does a text of one chunk.

    Raises `XPTError` where one of them was killed. Closed early, no process is left.
    """
    chunks = _chunks(documents)
    first = list(islice(chunks, 2))
    if workers == 1 or len(first) < 2:
        for chunk in chain(first, chunks):
            yield clean_chunk(chunk, settings)
        return
    pool = _pool(workers)
    gc.freeze()  # the collector would write to all that workers share with this process, and so copy it
    try:
        yield from _in_order(pool, chain(first, chunks), settings, workers * _AHEAD)
    except BrokenProcessPool as error:
        raise XPTError(
            "a process that cleans text was killed, perhaps for want of memory; give fewer with "
            "--preprocessing_num_workers, 1 for none"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        gc.unfreeze()


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += sum(map(len, document.lines)) + _DOCUMENT_COST
        if size >= _CHUNK_CHARACTERS:
            yield held
            held, size = [], 0
    if held:
        yield held


def _in_order(
    pool: ProcessPoolExecutor, chunks: Iterable[list[Document]], settings: CorpusSettings, ahead: int
) -> Iterator[CleanChunk]:
    waiting: deque[Future[CleanChunk]] = deque()
    for chunk in chunks:
        waiting.append(_submit(pool, chunk, settings))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _submit(
    pool: ProcessPoolExecutor, chunk: list[Document], settings: CorpusSettings
) -> "Future[CleanChunk]":
    with warnings.catch_warnings(), _signals_wait():  # the pool starts its workers when it gets work
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, see `_pool`
        return pool.submit(clean_chunk, chunk, settings)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Stop signals come after the block; a process started in it gets none before `_start_worker` has run."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # and raises what came just before
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pool(workers: int) -> ProcessPoolExecutor:
    """Forked where the system can, as PyTorch's data loaders are: at once, and without the caller's script.

    Threads of torch or of a tokenizer that run now do not exist in a fork. That is safe as long as no worker
    calls what waits for them: cleaning is Python, regular expressions and sentencex, never torch.
    """
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in ways else None)
    return ProcessPoolExecutor(workers, context, initializer=_start_worker)


def _start_worker() -> None:
    """Leave signals to the parent, and end when it does, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
