"""Folders that earlier code began go on: the steps, rows, masks and dropout of a run that never stopped.

`fixtures/begun_before.tar.xz` was made by the code of commit 22ac30d, before modules moved into packages: a
post-training stopped after step 3 of 5 of its first phase and a fine-tuning stopped after step 3 of 6, what
they read, the cache, and logs and files of the same two without a stop. Another row, mask or dropped
activation changes a loss by much more than the tolerance; how a processor rounds changes it by much less.
"""

import json
import tarfile

import pytest
from places import FIXTURES
from safetensors.torch import load_file

import finetune_klue
import train_xpt

SCRIPTS = {"run": train_xpt, "nli": finetune_klue}
LAST_STEP = 3  # before the stop


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A folder of both runs, which is the working directory: their settings name what lies in it."""
    with tarfile.open(FIXTURES / "begun_before.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logged(file):
    """Losses and gradient norms by phase and step."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {
        (line["phase"], line["step"]): (line["loss"], line["grad_norm"]) for line in lines if "loss" in line
    }


def cached(folder):
    """Tokenizer and ids, kept under what they were made of; clean text is kept under the path of its file."""
    kinds = ("tokenizers", "ids")
    return {file: file.stat().st_mtime_ns for kind in kinds for file in (folder / "cache" / kind).rglob("*")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_earlier_code_began_goes_on_as_if_it_had_never_stopped(begun, name, capsys):
    flags = json.loads((begun / "flags.json").read_text("utf-8"))[name]
    before, expected = logged(begun / name / "log.jsonl"), logged(begun / "expected" / f"{name}.jsonl")
    assert len(before) == LAST_STEP < len(expected)
    cache = cached(begun)
    assert SCRIPTS[name].main([*flags, "--output_dir", name]) == 0
    assert cache and cached(begun) == cache
    found = logged(begun / name / "log.jsonl")
    assert found.keys() == expected.keys()
    shown = capsys.readouterr().out
    for place, (loss, grad_norm) in expected.items():
        if place in before:
            assert found[place] == before[place] == (loss, grad_norm)  # not trained again
            assert f"{place[0]}  step  {place[1]}/" not in shown
        else:
            assert found[place] == (pytest.approx(loss, abs=1e-3), pytest.approx(grad_norm, rel=2e-2))


def test_the_files_of_a_model_are_byte_for_byte_those_of_earlier_code(begun):
    flags = json.loads((begun / "flags.json").read_text("utf-8"))["run"]
    assert train_xpt.main([*flags, "--output_dir", "run"]) == 0
    expected = {file.name: file.read_bytes() for file in (begun / "expected" / "hub").iterdir()}
    assert len(expected) == 4
    assert {name: (begun / "run" / name).read_bytes() for name in expected} == expected
    names = (load_file(begun / name / "model.safetensors").keys() for name in ("run", "model"))
    assert next(names) == next(names)


def test_other_settings_are_still_refused_by_name(begun, capsys):
    flags = json.loads((begun / "flags.json").read_text("utf-8"))["run"]
    assert train_xpt.main([*flags, "--output_dir", "run", "--seed", "43"]) == 2
    assert "seed (42 -> 43)" in capsys.readouterr().err
