"""Cleaning by several processes: the bytes of one, its errors, and nothing left where it ends badly."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import korean_sentences
from corpus_files import build_from, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpt.corpus import CorpusSettings, workers
from xpt.corpus.build import build_corpus
from xpt.corpus.documents import Document
from xpt.corpus.sentences import DocumentCleaner
from xpt.errors import XPTError

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = korean_sentences(120)
DROPPED = [
    "짧다.",
    "An English sentence that is dropped for its script.",
    "формула одна из строк русского",
    "\ufffd" * 12,
]


@pytest.fixture
def small_chunks(monkeypatch):
    """So small that a text of some lines goes to several processes."""
    monkeypatch.setattr(workers, "_CHUNK_CHARACTERS", 600)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def children() -> set[int]:
    return {int(number) for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.sampled_from([*SENTENCES, *DROPPED]), max_size=12), min_size=4, max_size=12),
    st.sampled_from(["sentence", "document"]),
)
def test_many_processes_write_the_bytes_of_one(tmp_path_factory, small_chunks, blocks, split_by):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text("\n\n".join("\n".join(block) for block in [SENTENCES, *blocks]), "utf-8")
    inputs = (str(folder / "a.txt"), str(text_of(folder / "b.txt", SENTENCES[50:70])))
    choice = CorpusSettings(corpus=inputs, split_by=split_by)
    built = [build_corpus(choice, folder / f"{count}", False, count) for count in (1, 3)]
    one, three = (folder_bytes(corpus.folder) for corpus in built)
    assert one == three and one["train.txt"]


def test_chunks_hold_what_each_document_gives(small_chunks):
    """Against the cleaner alone, document by document; parts of one document go to different chunks."""
    choice = CorpusSettings(corpus=("a", "b"))
    documents = [
        Document(SENTENCES[start : start + 9] + DROPPED, continued=start % 2 == 0, entry=start % 4 // 2)
        for start in range(0, 100, 3)
    ]
    cleaner = DocumentCleaner(choice)
    expected = [cleaner.sentences(document) for document in documents]
    chunks = list(workers.clean_documents(documents, choice, 2))
    assert len(chunks) > 4
    lines = b"".join(chunk.text for chunk in chunks).decode().splitlines()
    assert lines == [line for sentences in expected for line in sentences]
    sizes = [size for chunk in chunks for size in chunk.documents]
    assert sizes == [(len(e), d.continued) for e, d in zip(expected, documents, strict=True)]
    for entry, tally in enumerate(cleaner.tallies):
        assert sum(chunk.tallies[entry].sentences for chunk in chunks) == tally.sentences > 0
        assert sum(chunk.tallies[entry].dropped.total() for chunk in chunks) == tally.dropped.total() > 0


def test_the_collector_leaves_shared_memory_alone_for_as_long_as_it_is_shared(small_chunks):
    """A collection here would write to every page that the workers share, and so copy it."""
    documents = [Document(SENTENCES[start : start + 9]) for start in range(0, 100, 3)]
    chunks = workers.clean_documents(documents, CorpusSettings(corpus=("a",)), 2)
    next(chunks)
    assert gc.get_freeze_count() > 10_000  # all modules are older than the pool
    chunks.close()
    assert gc.get_freeze_count() == 0


def test_a_text_of_one_chunk_starts_no_process(monkeypatch):
    monkeypatch.setattr(workers, "_pool", lambda count: pytest.fail("a process for a few lines"))
    assert len(list(workers.clean_documents([Document(SENTENCES)], CorpusSettings(corpus=("a",)), 4))) == 1


def test_a_bad_line_is_named_and_no_process_stays(tmp_path, small_chunks):
    path = tmp_path / "a.txt"
    path.write_bytes("\n".join(SENTENCES).encode() + b"\n\xff\n" + "\n".join(SENTENCES).encode())
    before = children()
    with pytest.raises(XPTError, match=r"a\.txt line 121, byte 1 is not UTF-8 \(0xff\)"):
        build_from(path, tmp_path / "cache")
    assert children() == before and not (tmp_path / "cache").exists()


def test_a_killed_process_is_a_line_and_nothing_stays(tmp_path, small_chunks, monkeypatch):
    clean = DocumentCleaner.sentences

    def dies(cleaner, document):
        if any(SENTENCES[100] in line for line in document.lines):
            os.kill(os.getpid(), signal.SIGKILL)
        return clean(cleaner, document)

    monkeypatch.setattr(DocumentCleaner, "sentences", dies)
    path = text_of(tmp_path / "a.txt", [f"{line}\n" for line in SENTENCES])
    before = children()
    with pytest.raises(XPTError, match="was killed, perhaps for want of memory; give fewer with --prepro"):
        build_corpus(CorpusSettings(corpus=(str(path),)), tmp_path / "cache", False, 2)
    assert children() == before and not (tmp_path / "cache").exists()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows blocks no signals")
def test_a_signal_just_before_they_wait_does_not_let_them_wait_for_good(monkeypatch):
    sigmask, before = signal.pthread_sigmask, signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def interrupted(how, mask):  # handlers run as soon as the mask is set
        old = sigmask(how, mask)
        if how == signal.SIG_BLOCK and mask:
            assert set(workers.SIGNALS) <= sigmask(signal.SIG_BLOCK, ())
            raise KeyboardInterrupt
        return old

    monkeypatch.setattr(signal, "pthread_sigmask", interrupted)
    with pytest.raises(KeyboardInterrupt), workers._signals_wait():
        pass
    assert sigmask(signal.SIG_SETMASK, before) == before


SLOW = """
import os, signal, sys, time
from pathlib import Path
from xpt.corpus import CorpusSettings, build_corpus, workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
clean = workers.clean_chunk
def slowly(documents, settings):
    print("cleaning", flush=True)
    time.sleep(0.2)
    return clean(documents, settings)
workers.clean_chunk, workers._CHUNK_CHARACTERS = slowly, 200
forks = []  # a signal finds the second worker before it has begun
os.register_at_fork(before=lambda: forks.append(1), after_in_child=lambda: time.sleep(len(forks) - 1))
build_corpus(CorpusSettings(corpus=(sys.argv[1],)), Path(sys.argv[2]), False, 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_from_outside_no_process_stays(tmp_path, number):
    # Most of a minute of text, so that a busy machine does not end it before the signal.
    path = text_of(tmp_path / "a.txt", [f"{line}\n" for line in SENTENCES * 20])
    command = [sys.executable, "-c", SLOW, str(path), str(tmp_path / "cache")]
    main = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert main.stdout.readline().startswith("cleaning")  # two may say so at once
    if number == signal.SIGINT:
        os.killpg(main.pid, number)  # Ctrl-C reaches the whole group
    else:
        main.kill()  # the workers are not told
    # Both pipes end only when the last process that holds them has ended.
    said = main.communicate(timeout=60)[1]
    assert main.returncode == -number
    assert said.count("Traceback") == (number == signal.SIGINT)  # this program's own, none of a worker's
    assert (tmp_path / "cache").exists() == (number == signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        _wait_for_end(main.pid)


def _wait_for_end(group: int) -> None:
    for _ in range(100):
        os.killpg(group, 0)  # raises once nobody is left
        time.sleep(0.1)
