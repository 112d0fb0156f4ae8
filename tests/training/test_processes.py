"""Two real processes under torchrun beside one: the same rows, losses, weights; one voice; exact resume."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from launches import REPO, assert_each_sentence_once_an_epoch, fed_rows, noted, recipe_maker, torchrun
from rank_probe import probing
from tiny_runs import assert_equal_runs, losses, run, weights

from xpt.program.precision import has_fast_bf16
from xpt.run.folder import Run
from xpt.transplant.parameter_groups import parameter_group

PROCESSES = 2
UNPACKED = {"packing": "false", "gradient_accumulation_steps": 3, "logging_steps": 4}


@pytest.fixture(scope="module")
def recipe(options, tmp_path_factory):
    return recipe_maker(options, tmp_path_factory)


@pytest.fixture(scope="module")
def halves(recipe, tmp_path_factory):
    """Two processes x 4 rows x 2 micro-batches, and one process with 16 rows at once; no dropout."""
    base = tmp_path_factory.mktemp("halves")
    shared = {"eval_strategy": "steps", "eval_steps": 10, "cache_dir": base / "cache"}
    flags = recipe(0.0, gradient_accumulation_steps=2, **shared)
    done = torchrun([*flags, "--output_dir", str(base / "two")], base / "two-notes")
    assert done.code == 0, done
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with probing(base / "one-notes"):
        run(recipe(0.0, per_device_train_batch_size=16, **shared), base / "one")
    torch.set_num_threads(threads)
    return base, done


def test_all_processes_hold_the_same_weights_and_phases_move_theirs_everywhere(halves):
    notes = halves[0] / "two-notes"
    for kind in ("start", "end"):
        first, second = (noted(notes, rank, kind) for rank in range(PROCESSES))
        assert len(first) == 2 and first == second
    start, after_first = (noted(notes, 1, kind, "phase1")[0]["weights"] for kind in ("start", "end"))
    after_second = noted(notes, 1, "end", "phase2")[0]["weights"]
    names = weights(halves[0] / "two").keys()
    encoder = {name for name in names if parameter_group(name).split(".")[0] == "encoder"}
    new = {name for name in names if parameter_group(name).split(".")[0] in ("word_embeddings", "itl")}
    for name in (encoder | new) - {name for name in names if name.endswith("self.key.bias")}:
        assert (start[name] == after_first[name]) == (name in encoder), name
        assert after_first[name] != after_second[name], name


def test_each_sentence_is_seen_once_an_epoch_in_the_order_of_one_process(halves):
    base, _ = halves
    assert_each_sentence_once_an_epoch(base / "two-notes", PROCESSES)
    for phase in ("phase1", "phase2"):
        assert fed_rows(base / "two-notes", PROCESSES, phase) == fed_rows(base / "one-notes", 1, phase)


def test_losses_and_weights_are_those_of_one_process_with_twice_the_batch(halves):
    base, _ = halves
    two, one = losses(base / "two"), losses(base / "one")
    assert [entry[:2] for entry in two] == [entry[:2] for entry in one]
    assert [e[:2] for e in two if e[2] is not None] == [
        (phase, step) for phase in ("phase1", "phase2") for step in range(1, 21)
    ]
    for ours, theirs in zip(two, one, strict=True):
        assert ours[2:] == pytest.approx(theirs[2:], abs=1e-4), ours
    other = weights(base / "one")
    for name, tensor in weights(base / "two").items():
        assert (tensor - other[name]).abs().max() < 1e-5, name


def test_evaluation_is_shared_and_its_result_is_that_of_one_process(halves):
    base, _ = halves
    shares = [len(noted(base / "two-notes", rank, "evaluated")) for rank in range(PROCESSES)]
    alone = len(noted(base / "one-notes", 0, "evaluated"))
    assert sum(shares) == alone and min(shares) > 0.3 * alone
    two, one = (Run(base / name).results() for name in ("two", "one"))
    assert two["before"] == one["before"]  # of the same weights: to the last bit
    assert two["test"] == pytest.approx(one["test"], rel=1e-4)
    evaluated = [entry for entry in losses(base / "two") if entry[3] is not None]
    assert [entry[:2] for entry in evaluated] == [(p, s) for p in ("phase1", "phase2") for s in (10, 20)]


def test_only_the_first_process_prints_writes_and_builds_and_everything_once(halves):
    base, done = halves
    assert done.printed(1) == ""
    assert re.search(r"^  phase2 +validation loss", done.printed(0), re.MULTILINE)
    assert noted(base / "two-notes", 1, "build") == []
    built = [Path(entry["folder"]) for entry in noted(base / "two-notes", 0, "build")]
    assert len(set(built)) == len(built)
    assert Counter(folder.parent.name for folder in built) == {
        **{"corpus": 1, "tokenizers": 1, "ids": 3, "checkpoints": 1, "phase1": 4, "phase2": 4}
    }
    logged = [(phase, step) for phase, step, loss, _ in losses(base / "two") if loss is not None]
    assert len(set(logged)) == len(logged)


@pytest.fixture(scope="module")
def interrupted(recipe, tmp_path_factory):
    """A run with dropout, unpacked, three micro-batches a step; undisturbed, and killed twice."""
    base = tmp_path_factory.mktemp("interrupted")
    flags = recipe(0.1, **UNPACKED)
    for name, deaths in (("whole", ()), ("killed", ("1 40", "0 55"))):
        starts = [torchrun([*flags, "--output_dir", str(base / name)], base / f"{name}-{n}", PROBE_KILL=death)
                  for n, death in enumerate((*deaths, ""))]  # fmt: skip
        assert [start.code for start in starts] == [-9] * len(deaths) + [0], starts[-1].printed(0)
    return base


@pytest.mark.slow
def test_killed_in_both_phases_two_processes_end_bit_equal(interrupted):
    assert_equal_runs(interrupted / "whole", interrupted / "killed")
    # Each start got further: the first died in phase 1, the second in phase 2.
    reached = [max(b["phase"] for b in noted(interrupted / f"killed-{n}", 0, "batch")) for n in range(3)]
    assert reached == ["phase1", "phase2", "phase2"]
    assert noted(interrupted / "killed-2", 0, "batch")[0]["step"] > 0


@pytest.mark.slow
def test_rows_of_unpacked_sentences_are_seen_once_an_epoch_too(interrupted):
    assert_each_sentence_once_an_epoch(interrupted / "whole-0", PROCESSES)


@pytest.mark.slow
def test_each_process_drops_activations_of_its_own(interrupted):
    dropped = [
        [(b["phase"], b["dropped"]) for b in noted(interrupted / "whole-0", rank, "batch")]
        for rank in range(PROCESSES)
    ]
    assert not set(dropped[0]) & set(dropped[1])
    assert len({d for rank in dropped for _, d in rank}) == 2 * len(dropped[0])


@pytest.mark.slow
def test_an_error_of_the_user_is_one_line_of_the_first_process(recipe, tmp_path):
    flags = recipe(0.0, vocab_size=999)  # found when the corpus is built: who builds it again says so
    done = torchrun([*flags, "--output_dir", str(tmp_path / "run")], tmp_path / "notes")
    assert done.code != 0
    lines = [line for line in done.printed(0).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "a vocabulary of 999 is more than the text allows" in lines[0]
    # What C++ says of threads that were waiting for the other process is not ours to silence.
    other = done.printed(1).replace("terminate called without an active exception\n", "")
    assert "Traceback" not in done.printed(0) and other == ""
    assert lines[0].removeprefix("error: ") in done.report  # torchrun's own report says it too
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_and_the_run_ends_bit_equal(interrupted, recipe, tmp_path):
    flags = [*recipe(0.1, **UNPACKED), "--output_dir", str(tmp_path / "stopped")]
    stopped = torchrun(flags, tmp_path / "notes-0", PROBE_STOP="1 40")
    lines = [line for line in stopped.printed(0).splitlines() if line.startswith("stopped by SIGTERM")]
    assert len(lines) == 1 and "checkpoint-14; the same command goes on" in lines[0]
    assert "Traceback" not in stopped.printed(0) and stopped.printed(1) == ""
    assert torchrun(flags, tmp_path / "notes-1").code == 0
    assert noted(tmp_path / "notes-1", 0, "batch")[0]["step"] == 14
    assert_equal_runs(interrupted / "whole", tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_fails_takes_the_other_down_and_is_named(recipe, tmp_path, rank):
    flags = recipe(0.0)
    done = torchrun(
        [*flags, "--output_dir", str(tmp_path / "run")], tmp_path / "notes", PROBE_FAIL=f"{rank} 5"
    )
    assert done.code != 0
    assert "ValueError: a failure on purpose" in done.printed(rank)
    assert "Traceback" not in done.printed(1 - rank)
    assert "Connection closed" not in done.printed(0) + done.printed(1)
    cause = done.report.split("Root Cause")[1]
    assert f"rank      : {rank} " in cause and "ValueError: a failure on purpose" in cause


SUMMING = """
import os, sys, torch
from xpt.program.processes import is_left_alone
rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.distributed.barrier()
print("ready", flush=True)
sys.stdin.readline()
print("sending", flush=True)
try:
    torch.distributed.all_reduce(torch.ones(1000))
except Exception as error:
    print(is_left_alone(error), error, flush=True)
os._exit(0)
"""


def test_a_process_knows_that_another_one_was_killed_that_had_not_read_all(tmp_path):
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", SUMMING, rank, str(tmp_path / "store")],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    )
    assert first.stdout.readline() == second.stdout.readline() == "ready\n"
    second.send_signal(signal.SIGSTOP)
    os.waitpid(second.pid, os.WUNTRACED)
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.stdout.readline() == "sending\n"
    time.sleep(1)
    second.kill()
    printed = first.communicate(timeout=60)[0]
    second.communicate(timeout=60)
    assert printed.startswith("True ") and "Connection reset by peer" in printed


ENDING = """
import os, sys, torch
from pathlib import Path
from xpt.program.script import run_program
def work(stop):
    rank, store = int(sys.argv[1]), f"file://{sys.argv[2]}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.distributed.all_reduce(torch.ones(3))
    print("gloo" in names())
    if sys.argv[3] == "interrupted":
        raise KeyboardInterrupt
    return ""
def names():
    return "".join(file.read_text() for file in Path("/proc/self/task").glob("*/comm"))
code = run_program(work)
print("gloo" in names(), code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are not listed here")
@pytest.mark.parametrize(
    ("end", "code"), [("interrupted", 130), pytest.param("done", 0, marks=pytest.mark.slow)]
)
def test_no_thread_of_gloo_outlives_the_work(tmp_path, end, code):
    """Such a thread aborts the process where it gives a tensor back to an interpreter that has ended."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ENDING, rank, str(tmp_path / "store"), end],
            cwd=REPO,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    for process in processes:
        printed, said = process.communicate(timeout=120)
        assert printed == f"True\nFalse {code}\n", said


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["true", "false"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_packing_and_accumulation_change_neither_rows_nor_losses(recipe, tmp_path, packing, accumulation):
    shared = {"packing": packing, "phase1_steps": 30, "phase2_steps": 30}
    flags = recipe(0.0, gradient_accumulation_steps=accumulation, **shared)
    done = torchrun([*flags, "--output_dir", str(tmp_path / "two")], tmp_path / "two-notes")
    assert done.code == 0, done
    with probing(tmp_path / "one-notes"):
        run(recipe(0.0, per_device_train_batch_size=8 * accumulation, **shared), tmp_path / "one")
    assert_each_sentence_once_an_epoch(tmp_path / "two-notes", PROCESSES)
    assert fed_rows(tmp_path / "two-notes", PROCESSES) == fed_rows(tmp_path / "one-notes", 1)
    for ours, theirs in zip(losses(tmp_path / "two"), losses(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


GRADUAL = (
    '[{"name": "top", "train": "itl.out", "steps": 3}, '
    '{"name": "words", "train": ["word_embeddings", "encoder.1"], "steps": 3}, '
    '{"name": "all", "train": "all", "steps": 3}]'
)


@pytest.mark.slow
def test_any_phases_and_gradient_checkpointing_keep_the_processes_equal(recipe, tmp_path):
    ends = []
    for checkpointing in ("false", "true"):
        changes = {"phases": GRADUAL, "phase1_steps": None, "phase2_steps": None}
        flags = recipe(0.1, gradient_checkpointing=checkpointing, **changes)
        notes = tmp_path / f"notes-{checkpointing}"
        done = torchrun([*flags, "--output_dir", str(tmp_path / checkpointing)], notes)
        assert done.code == 0, done
        assert done.printed(1) == ""
        first, second = (noted(notes, rank, "end") for rank in range(PROCESSES))
        assert len(first) == 3 and first == second
        ends.append(first[-1]["weights"])
    assert ends[0] == ends[1]  # what is computed again is the same, dropout included


@pytest.mark.slow
@pytest.mark.skipif(not has_fast_bf16(use_cpu=True), reason="no bfloat16 arithmetic here")
def test_bf16_works_in_two_processes(recipe, tmp_path):
    flags = recipe(0.1, bf16="true")
    done = torchrun([*flags, "--output_dir", str(tmp_path / "run")], tmp_path / "notes")
    assert done.code == 0, done
    assert re.search(r"^  precision +bf16", done.printed(0), re.MULTILINE) and done.printed(1) == ""
    first, second = (noted(tmp_path / "notes", rank, "end") for rank in range(PROCESSES))
    assert len(first) == 2 and first == second
    assert all(loss is not None and loss < 8 for _, _, loss, _ in losses(tmp_path / "run"))
