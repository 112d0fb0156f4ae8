"""`xpt text`: what cleaning keeps on stdout, what it drops and why on stderr."""

import gzip
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest
from corpus_files import SENTENCES, as_jsonl, build_from, everything, text_of

from xpt.recipe.text import REFUSED, main

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MIXED = [SENTENCES[0], "짧다.", "This line is written in another language.", "", SENTENCES[1]]


def test_kept_sentences_go_to_stdout_and_counts_to_stderr(tmp_path, capsys):
    one, two = text_of(tmp_path / "a.txt", MIXED), tmp_path / "b.jsonl"
    two.write_bytes(as_jsonl([" ".join(SENTENCES[2:4])]))
    assert main([str(one), str(two)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [*SENTENCES[:2], *SENTENCES[2:4]]
    assert err.splitlines() == [
        f"{one}: 4 lines, 2 sentences; dropped: 1 script, 1 short",
        f"{two}: 1 lines, 2 sentences; dropped: nothing",
    ]


def test_dropped_lines_stand_behind_their_reason(tmp_path, capsys):
    wiki = tmp_path / "wiki_00"
    text_of(
        wiki,
        ['<doc id="1" title="밤">', "밤", "", "역사와 문화.", f"{SENTENCES[0]} 짧다.", MIXED[2], "</doc>"],
    )
    assert main(["--corpus", str(wiki), "--dropped", "true", "--min_characters", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [SENTENCES[0]]
    assert err.splitlines()[:3] == [
        "heading\t역사와 문화.",
        "short\t짧다.",
        "script\tThis line is written in another language.",
    ]


def test_what_is_shown_is_what_training_reads(tmp_path, capsys):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(as_jsonl([" ".join(SENTENCES[:30]), *MIXED])))
    for option in ("sentencex", "lines"):
        assert main([str(path), "--splitter", option]) == 0
        shown = set(capsys.readouterr().out.splitlines())
        assert sorted(shown) == everything(build_from(path, tmp_path / "cache", splitter=option))


def test_a_text_in_another_language_is_named(tmp_path, capsys):
    path = text_of(tmp_path / "a.txt", ["Mae'r gath yn eistedd ar y mat heddiw."] * 3)
    assert main([str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"warning: corpus {path}: 100% of the letters are Latin, but Korean is written in Hangul" in err


def test_a_hub_data_set_is_shown(capsys, monkeypatch):
    def load(name, config=None, revision=None):
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": SENTENCES[:3]})})

    api = SimpleNamespace(dataset_info=lambda name, revision=None, timeout=None: SimpleNamespace(sha=COMMIT))
    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    assert main(["org/korean"]) == 0
    assert capsys.readouterr().out.splitlines() == SENTENCES[:3]


WRONG = {
    "nothing": ([], "no text: name files, folders or a Hub data set"),
    "missing": (["{none}"], "none.txt does not exist"),
    "twice": (["{a}", "--corpus", "{a}"], "name all in one place"),
    "splitter": (["{a}", "--splitter", "magic"], "invalid choice: 'magic'"),
    "unknown": (["{a}", "--droped", "true"], "did you mean --dropped?"),
    **{name: (["{a}", f"--{name}", "1"], f"--{name} {why}") for name, why in REFUSED.items()},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_one_line(tmp_path, capsys, case):
    arguments, message = WRONG[case]
    places = {"a": text_of(tmp_path / "a.txt", SENTENCES), "none": tmp_path / "none.txt"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("error: ") and message in err


@pytest.fixture
def endless(tmp_path):
    """More text than any pipe holds."""
    return text_of(tmp_path / "a.txt", ["", *SENTENCES] * 500)


def start(*arguments, **options):
    command = [sys.executable, "-m", "xpt.command", "text", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", **options)


@pytest.mark.parametrize(
    "both", [pytest.param(False, marks=pytest.mark.slow), True], ids=["stdout", "stderr too"]
)
def test_a_reader_that_has_seen_enough_ends_it_quietly(endless, both):
    process = start(endless, "--dropped", "true", stderr=subprocess.STDOUT if both else subprocess.PIPE)
    assert process.stdout.readline() == f"{SENTENCES[0]}\n"
    process.stdout.close()
    assert process.wait(120) == 0
    if not both:
        assert process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_it_in_one_line(endless, number, code):
    process = start(endless, stderr=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == f"{SENTENCES[0]}\n"
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (code, f"stopped by {number.name}; nothing was written\n")
