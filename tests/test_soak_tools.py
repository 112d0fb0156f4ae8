"""The fuzzer sees what it looks for, and its short run finds nothing; so does a disk that runs full."""

import contextlib
import json
import pickle
import random
import socket
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import REPO
from soak import sandbox
from soak.full_disk import SKIPPED
from soak.fuzzing.base import Base
from soak.fuzzing.case import Case
from soak.fuzzing.mutations import mutate_bytes, mutate_json, mutate_safetensors
from soak.fuzzing.verdict import ending, judge, listing, signature
from soak.sandbox import Outcome, Places, run_watched


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Give `watched(function)` the outcome of that function in the sandbox; `tmp_path / "out"` is its own."""
    monkeypatch.setattr(sandbox.atexit, "_run_exitfuncs", lambda: None)  # pytest's, not the function's
    for name in ("out", "in", "elsewhere"):
        (tmp_path / name).mkdir()
    places = Places(tmp_path / "out", (tmp_path / "out",), tmp_path / "in")
    return lambda function: run_watched(lambda _: function() or 0, [], places, tmp_path / "log")


# ---- the sandbox -----------------------------------------------------------------------------------------


def test_a_case_in_order_has_no_violation(watched, tmp_path):
    def case():
        (tmp_path / "out" / "folder").mkdir()
        Path("folder/file").write_text("x")
        Path("folder/file").rename("file")
        print("said")

    outcome = watched(case)
    assert (outcome.code, outcome.stdout, outcome.violations, outcome.hung) == (0, "said\n", [], False)
    assert not list(ending(outcome))


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (lambda away: (away / "file").write_text("x"), "wrote {away}/file"),
        (lambda away: open(away / "file", "ab").close(), "wrote {away}/file"),
        (lambda away: (away / "folder").mkdir(), "os.mkdir {away}/folder"),
        (lambda away: away.rmdir(), "os.rmdir {away}"),
        (lambda away: (away.parent / "out" / "link").symlink_to(away), ""),
        (lambda away: subprocess.run(["true"]), "started a process: subprocess.Popen"),
        (lambda away: socket.create_connection(("127.0.0.1", 9), 0.1), "used the network: socket."),
        (lambda away: pickle.loads(pickle.dumps(Fraction(1, 2))), "opened a pickle: fractions.Fraction"),
        (
            lambda away: exec(compile("1", str(away.parent / "in" / "code.py"), "exec")),
            "ran code of the inputs: {away.parent}/in/code.py",
        ),
    ],
)
def test_what_a_case_must_not_do_is_seen(watched, tmp_path, function, seen):
    away = tmp_path / "elsewhere"

    def case():
        with contextlib.suppress(OSError):
            function(away)

    violations = watched(case).violations
    expected = seen.format(away=away)
    assert [one for one in violations if one.startswith(expected)] == violations
    assert bool(violations) == bool(seen)


def test_a_traceback_a_signal_and_a_hang_are_told_apart(watched, monkeypatch):
    def fail():
        raise KeyError("x")

    assert [fault.split(" in ")[0] for fault in ending(watched(fail))] == ["traceback, code 1: KeyError: 'x'"]
    crashed = watched(lambda: __import__("os").abort())
    assert crashed.code == -6 and [fault[:18] for fault in ending(crashed)] == ["ended with code -6"]
    monkeypatch.setattr(sandbox, "PATIENCE", 0.3)
    hung = watched(lambda: __import__("time").sleep(1000))
    assert hung.hung and [fault[:4] for fault in ending(hung)] == ["hang"]


# ---- the verdict -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "stderr", "fault"),
    [
        (2, "a warning\nerror: no text: give --corpus\n", None),
        (0, "10%|\r100%|\n", None),
        (143, "stopped by SIGTERM; the same command goes on\n", None),
        (2, "", "0 lines `error: ...`"),
        (2, "error: one\nerror: two\n", "2 lines `error: ...`"),
        (2, "error: one\nand more\n", "1 lines `error: ...`, and at the end: and more"),
        (2, "10%|error: on the line of a bar\n", "0 lines `error: ...`"),
        (2, "error: \n", "an error that says nothing"),
        (3, "", "ended with code 3"),
        (
            0,
            'Traceback (most recent call last):\n  File "x.py", line 1, in f\nE: x\n',
            "traceback, code 0: E: x",
        ),
    ],
)
def test_how_a_case_must_end(code, stderr, fault):
    found = list(ending(Outcome(code, 0.1, "", stderr)))
    assert len(found) == (fault is not None) and all(one.startswith(fault) for one in found), found


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda case: write(case.output / "results.json", "[1.5]"), None),
        (lambda case: write(case.output / "results.json", "[NaN]"), "results.json is no standard JSON"),
        (lambda case: write(case.output / "model.safetensors", "weights"), None),
        (lambda case: write(case.output / "model.safetensors", "other"), "other weights"),
        (
            lambda case: write(case.cache / "ids" / ".x.staging-1" / "file", "x"),
            "left cache/ids/.x.st",
        ),
        (lambda case: write(case.folder / "cwd" / "file", "x"), "left ['file'] in the working folder"),
        (lambda case: write(case.base.text, "x"), "changed base/korean.txt"),
    ],
)
def test_what_a_case_leaves_is_seen(tmp_path, change, fault):
    base = Base(tmp_path / "base")
    write(base.whole / "model.safetensors", "weights")
    case = Case(tmp_path / "case", base, random.Random(0), 0, same_weights=True)
    (case.folder / "cwd").mkdir(parents=True)
    before = {"base": listing(base.folder)}
    change(case)
    found = judge(case, Outcome(0, 0.1, "", ""), {"base": base.folder}, before)
    assert [one[: len(fault or "")] for one in found] == ([] if fault is None else [fault]), found


def test_a_listing_shows_changes(tmp_path):
    (tmp_path / "file").write_text("x")
    before = listing(tmp_path)
    assert listing(tmp_path) == before
    (tmp_path / "file").write_text("xy")
    assert set(listing(tmp_path)) == {"file"} and listing(tmp_path) != before


def test_one_fault_in_different_cases_has_one_signature():
    one, other = ("error: /a/b c has 12,5 of 'x'", 'error: /d/e-f c has 3 of "yz"')
    assert signature(one) == signature(other) != signature("error: /a/b c has 12 more")


# ---- mutations -------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.integers())
def test_mutated_json_is_json_and_follows_the_seed(value, seed):
    mutated = mutate_json(json.dumps(value), random.Random(seed))
    json.loads(mutated)
    assert mutated == mutate_json(json.dumps(value), random.Random(seed))


@given(st.binary(), st.integers())
def test_mutated_bytes_follow_the_seed(data, seed):
    assert mutate_bytes(data, random.Random(seed)) == mutate_bytes(data, random.Random(seed))


def test_every_mutation_damages_most_inputs():
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.0, 2.0)
    for mutate, valid in ((mutate_bytes, weights), (mutate_safetensors, weights)):
        mutated = {mutate(valid, random.Random(seed)) for seed in range(200)}
        assert len(mutated - {valid}) > 100
    assert len({mutate_json('{"a": [1, {"b": "c"}]}', random.Random(seed)) for seed in range(200)}) > 50


# ---- the scripts themselves ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_short_fuzzing_finds_nothing(tmp_path):
    """By hand: `python tests/soak/fuzz.py --minutes 10`."""
    command = [sys.executable, "tests/soak/fuzz.py", "--cases", "84", "--workdir", str(tmp_path / "fuzz")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]


@pytest.mark.slow
def test_a_disk_that_runs_full_costs_nothing(tmp_path):
    """By hand, at every moment: `python tests/soak/full_disk.py`."""
    command = [sys.executable, "tests/soak/full_disk.py", "--workdir", str(tmp_path)]
    chosen = ["--shares", "0.1", "0.3", "--moments", "phase1: saving"]
    done = subprocess.run([*command, *chosen], cwd=REPO, capture_output=True, text=True)
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
