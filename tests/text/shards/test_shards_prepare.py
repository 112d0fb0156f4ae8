"""Preparation in stages: what one machine makes of a corpus, for any number of tasks and partitions."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import korean_sentences
from corpus_files import build_from, contents
from hypothesis import given, settings
from hypothesis import strategies as st
from places import REPO
from shard_folders import a_folder, open_folder, prepare

from xpt.program.errors import XPTError
from xpt.recipe.shards import main
from xpt.text.corpus import Corpus
from xpt.text.shards import encode
from xpt.text.shards.engine import Engine
from xpt.text.shards.job import Stage
from xpt.text.tokenizer import load_tokenizer, save_tokenizer

LINES = korean_sentences(420)


def write_text(folder: Path) -> Path:
    """Three files with repetitions inside, between them and between documents; some lines are dropped."""
    text = folder / "text"
    text.mkdir(parents=True)
    (text / "a.txt").write_text("\n".join([*LINES[:200], *LINES[:30], "짧다"]), encoding="utf-8")
    blocks = ["\n".join(LINES[start : start + 7]) for start in range(150, 350, 7)]
    (text / "b.txt").write_text("\n\n".join([*blocks, *blocks[:9]]), encoding="utf-8")
    (text / "c.txt").write_text(
        "\n".join(["This line is not Korean at all.", *LINES[300:]]), encoding="utf-8"
    )
    return text


def sentences_of(folder: Path) -> list[str]:
    """The training sentences of a prepared folder, from its ids."""
    tokenizer, examples = load_tokenizer(str(folder / "tokenizer")), open_folder(folder, folder / "c", 512)
    return sorted(
        tokenizer.decode(examples[index], skip_special_tokens=True) for index in range(len(examples))
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small_tokenizer(tiny_tokenizer, tmp_path_factory) -> Path:
    """It knows every character of the text."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(tiny_tokenizer, folder)
    return folder


def assert_as_on_a_single_machine(tokenizer: Path, engine: dict, **options) -> None:
    with a_folder() as place:
        text = write_text(place)
        alone = build_from(text, place / "cache", **options)
        folder = prepare(text, place / "shards", **options, **engine, tokenizer_name_or_path=tokenizer)
        expected, found = contents(alone), Corpus(folder / "corpus")
        for split in ("validation", "test"):
            assert list(found.split(split)) == expected[split]
        assert sentences_of(folder) == sorted(expected["train"])
        report = found.report
        for one in (alone.report, report):
            del one["splits"]["train"]["sha256"]  # of sentences in another order
        assert report == alone.report


@pytest.mark.parametrize(
    "options", [{}, {"split_by": "document", "train_sentences": 90, "validation_sentences": 5}]
)
def test_text_splits_and_report_are_those_of_a_single_machine(small_tokenizer, options):
    assert_as_on_a_single_machine(small_tokenizer, {"tasks": 2, "partitions": 3}, **options)


@pytest.mark.slow  # each example prepares the text twice
@given(
    split_by=st.sampled_from(["sentence", "document"]),
    limits=st.dictionaries(
        st.sampled_from(["train_sentences", "validation_sentences", "test_sentences"]), st.integers(1, 300)
    ),
    split_seed=st.integers(0, 20),
    tasks=st.integers(1, 5),
    partitions=st.integers(1, 5),
)
@settings(max_examples=20)
def test_so_they_are_for_any_limits_tasks_and_partitions(
    small_tokenizer, split_by, limits, split_seed, tasks, partitions
):
    options = {"split_by": split_by, "split_seed": split_seed, **limits}
    assert_as_on_a_single_machine(small_tokenizer, {"tasks": tasks, "partitions": partitions}, **options)


def test_the_vocabulary_of_shards_respects_morphemes_too(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("국회 는\n정부 는\n학생 은\n", encoding="utf-8")
    text, fused = write_text(tmp_path), {"▁국회는", "▁정부는", "▁학생은"}
    kind = {"tokenizer_model_type": "bpe"}  # of so little text unigram chooses nothing fused either way
    found = [
        set(load_tokenizer(prepare(text, tmp_path / name, **kind, **options) / "tokenizer").get_vocab())
        for name, options in (("plain", {}), ("cut", {"tokenizer_morphemes": words}))
    ]
    assert fused <= found[0] and not fused & found[1]


def test_shards_do_not_depend_on_the_tasks(tmp_path):
    text = write_text(tmp_path)
    sizes = {"partitions": 2, "shard_sentences": 1000}  # one shard a partition
    folders = [prepare(text, tmp_path / f"by-{tasks}", tasks=tasks, **sizes) for tasks in (1, 3)]
    assert digests(folders[0]) == digests(folders[1])
    names = [path.name for path in folders[0].glob("*.parquet")]
    assert len(names) == 2 and not list(tmp_path.glob("*.work"))


def test_counts_and_sizes_of_the_index_are_those_of_the_ids(tmp_path):
    folder = prepare(write_text(tmp_path), tmp_path / "shards", shard_sentences=50)
    examples = open_folder(folder, tmp_path / "cache", 512)
    ids = np.concatenate([examples[index][1:-1] for index in range(len(examples))])
    counts = np.load(folder / "counts.npy")
    assert counts.tolist() == np.bincount(ids, minlength=300).tolist()
    assert max(shard.sentences for shard in examples.shards) <= 50
    assert sum(shard.sentences for shard in examples.shards) == len(examples)


def test_the_same_command_goes_on_after_a_failure_and_another_is_refused(tmp_path, monkeypatch, capsys):
    text, folder = write_text(tmp_path), tmp_path / "shards"
    whole = prepare(text, tmp_path / "whole")
    with monkeypatch.context() as broken:
        broken.setattr(encode, "write_shard", lambda *given: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(AssertionError):
            prepare(text, folder)
    assert not (folder / "shards.json").exists()
    for changes in ({"partitions": 2}, {"vocab_size": 301}, {"test_sentences": 3}):
        with pytest.raises(AssertionError):
            prepare(text, folder, **changes)
        assert "holds the work of another preparation" in capsys.readouterr().err
    assert digests(prepare(text, folder)) == digests(whole)
    before = digests(folder)
    assert main(["--corpus", str(text), "--output_dir", str(folder), "--executor", "here"]) == 0
    assert "is finished" in capsys.readouterr().out and digests(folder) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no --corpus given"),
        (["--corpus", "missing.txt", "--output_dir", "out"], "missing.txt"),
        (["--corpus", "a.txt", "--output_dir", "full"], "is not empty: give another --output_dir"),
        (["--corpus", "a.txt", "--output_dir", "out", "--partitions", "0"], "--partitions is 0"),
        (["--corpus", "a.txt", "--output_dir", "out", "--near_duplicates", "true"], "is not for shards"),
        (["--corpus", "a.txt", "--output_dir", "out", "--executor", "slurm"], "needs --slurm_partition"),
        (["--corpus", "a.txt", "--output_dir", "out", "--tokenizer_name_or_path", "no"], "no"),
    ],
)
def test_what_cannot_be_prepared_is_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, flags, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("\n".join(LINES[:50]), encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    assert main([*flags, *(() if "--executor" in flags else ("--executor", "here"))]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error and sorted(tmp_path.rglob("*")) == before


def test_without_datatrove_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "xpt.text.shards.datatrove_step", None)
    with pytest.raises(XPTError, match=r"pip install 'xpt\[scale\]', or give --executor here"):
        Engine("local", 1, tmp_path, {}).run([Stage("none", lambda task, tasks: None, 1)])


@pytest.mark.slow  # starts processes
def test_datatrove_runs_the_stages_in_processes_and_goes_on_after_a_failure(tmp_path, monkeypatch):
    pytest.importorskip("datatrove")
    text, folder = write_text(tmp_path), tmp_path / "shards"
    whole = prepare(text, tmp_path / "whole")
    with monkeypatch.context() as broken:
        broken.setattr(encode, "write_shard", lambda *given: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(AssertionError):
            prepare(text, folder, executor="local", workers=1)
    logs = tmp_path / "shards.work-logs"
    cleaned = sorted((logs / "1-clean" / "completions").iterdir())
    before = [path.stat().st_mtime_ns for path in cleaned]
    assert len(cleaned) == 3 and not (folder / "shards.json").exists()
    command = [
        sys.executable,
        "-m",
        "xpt.command",
        "shards",
        "--corpus",
        str(text),
        "--output_dir",
        str(folder),
    ]
    command += ["--partitions", "3", "--shard_sentences", "200", "--vocab_size", "300", "--workers", "2"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert digests(folder) == digests(whole)
    assert [path.stat().st_mtime_ns for path in cleaned] == before
    assert len(list((logs / "4-encode" / "completions").iterdir())) == 3 and "3 shards, " in done.stdout
