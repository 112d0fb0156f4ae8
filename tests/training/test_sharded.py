"""FSDP2 on real processes trains as one process does, and any number of them goes on from its checkpoints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launches import REPO, fed_rows, noted, recipe_maker, torchrun
from rank_probe import probing
from tiny_runs import assert_equal_runs, losses, run, weights

from xpt.program.precision import has_fast_bf16
from xpt.run.folder import Run
from xpt.transplant.parameter_groups import parameter_group

pytestmark = pytest.mark.slow
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "PYTHONFAULTHANDLER": "1",  # a process that aborts says where
}
STEPS = 20  # of each phase


@pytest.fixture(scope="module")
def recipe(options, tmp_path_factory):
    return recipe_maker(options, tmp_path_factory)


def close(one: Path, other: Path, tolerance: float = 1e-5) -> None:
    theirs = weights(other)
    for name, tensor in weights(one).items():
        assert (tensor - theirs[name]).abs().max() < tolerance, name


def alone(flags: list[str], folder: Path) -> Path:
    """The run in this process, its notes beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with probing(folder.with_name(f"{folder.name}-notes")):
        run(flags, folder)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def halves(recipe, tmp_path_factory):
    """Two processes that share out the weights, 4 rows x 2 micro-batches; and one with 16 rows at once."""
    base = tmp_path_factory.mktemp("halves")
    shared = {"eval_strategy": "steps", "eval_steps": 10}
    flags = recipe(0.0, gradient_accumulation_steps=2, **shared)
    done = torchrun([*flags, "--output_dir", str(base / "two")], base / "two-notes", **FSDP2)
    assert done.code == 0, done
    assert done.printed(1) == ""
    alone(recipe(0.0, per_device_train_batch_size=16, **shared), base / "one")
    return base


def test_each_process_holds_its_share_of_the_weights(halves):
    held = [{batch["held"] for batch in noted(halves / "two-notes", rank, "batch")} for rank in range(2)]
    (whole,) = {batch["held"] for batch in noted(halves / "one-notes", 0, "batch")}
    assert all(len(each) == 1 for each in held)
    first, second = (next(iter(each)) for each in held)
    assert first + second == whole and abs(first - second) < 0.1 * whole


def test_processes_gather_the_same_weights_and_phases_move_theirs(halves):
    notes = halves / "two-notes"
    for kind in ("start", "end"):
        first, second = (noted(notes, rank, kind) for rank in range(2))
        assert len(first) == 2 and first == second
    start, after_first = (noted(notes, 1, kind, "phase1")[0]["weights"] for kind in ("start", "end"))
    after_second = noted(notes, 1, "end", "phase2")[0]["weights"]
    names = weights(halves / "two").keys()
    encoder = {name for name in names if parameter_group(name).split(".")[0] == "encoder"}
    new = {name for name in names if parameter_group(name).split(".")[0] in ("word_embeddings", "itl")}
    for name in (encoder | new) - {name for name in names if name.endswith("self.key.bias")}:
        assert (start[name] == after_first[name]) == (name in encoder), name
        assert after_first[name] != after_second[name], name


def test_rows_losses_and_weights_are_those_of_one_process(halves):
    for phase in ("phase1", "phase2"):
        assert fed_rows(halves / "two-notes", 2, phase) == fed_rows(halves / "one-notes", 1, phase)
    two, one = losses(halves / "two"), losses(halves / "one")
    assert [entry[:2] for entry in two] == [entry[:2] for entry in one]
    assert sum(entry[3] is not None for entry in two) == 4  # evaluated at steps 10 and 20
    for ours, theirs in zip(two, one, strict=True):
        assert ours[2:] == pytest.approx(theirs[2:], abs=1e-4), ours
    norms = [
        [e["grad_norm"] for e in Run(halves / name).read_log() if "grad_norm" in e] for name in ("two", "one")
    ]
    assert len(norms[0]) == 2 * STEPS and norms[0] == pytest.approx(norms[1], rel=1e-3)
    close(halves / "two", halves / "one")
    two, one = (Run(halves / name).results() for name in ("two", "one"))
    assert two["test"] == pytest.approx(one["test"], rel=1e-4)
    assert two["fills"][0]["before"] == one["fills"][0]["before"]


# ---- other numbers of processes --------------------------------------------------------------------------

ROWS = 16  # a step, in 2 micro-batches


def rows_of_steps(notes: Path, processes: int) -> dict[tuple, list]:
    """Rows fed in each step, in the stream's order; without the step that was cut short."""
    steps: dict[tuple, list] = {}
    by_rank = [noted(notes, rank, "batch") for rank in range(processes)]
    for batches in zip(*by_rank, strict=False):
        assert len({(batch["phase"], batch["step"]) for batch in batches}) == 1
        rows = steps.setdefault((batches[0]["phase"], batches[0]["step"]), [])
        rows += [row for batch in batches for row in zip(batch["input_ids"], batch["labels"], strict=True)]
    return {step: rows for step, rows in steps.items() if len(rows) == ROWS}


CHAINS = {
    # What a run is started with, one after another: processes, FSDP2, the micro-batch that kills it
    "sharded": [(2, FSDP2, 21), (4, FSDP2, 17), (1, {}, 40), (2, FSDP2, None)],
    "copied": [(2, {}, 21), (4, {}, 17), (2, FSDP2, 40), (1, {}, None)],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_run_goes_on_in_other_processes_and_ends_as_if_undisturbed(recipe, tmp_path, chain):
    changes = {"gradient_accumulation_steps": 2, "logging_steps": 4}
    first_steps, kept, said = [], {}, []
    for number, (processes, mode, death) in enumerate(CHAINS[chain]):
        flags = recipe(0.0, per_device_train_batch_size=ROWS // 2 // processes, **changes)
        notes = tmp_path / f"notes-{number}"
        environment = {**mode, **({"PROBE_KILL": f"0 {death}"} if death else {})}
        command = [*flags, "--output_dir", str(tmp_path / "run")]
        done = torchrun(command, notes, processes, **environment)
        assert done.code == (-9 if death else 0), done.printed(0) + done.report
        printed = " ".join(done.printed(0).split())
        said += re.findall(r"goes on with (\d) process.*?the same global batch of (\d+) rows", printed)
        steps = rows_of_steps(notes, processes)
        first_steps.append(next(iter(steps)))
        kept |= steps
        saved = {file.name for file in (tmp_path / "run").rglob("optimizer*.safetensors")}
        if number == 0:
            assert ("optimizer-00002-of-00002.safetensors" in saved) == bool(mode)
    assert first_steps == [("phase1", 0), ("phase1", 6), ("phase1", 12), ("phase2", 6)]
    others = [str(processes) for processes, _, _ in CHAINS[chain] if processes != 2]
    assert said == [(processes, "16") for processes in others]
    whole = alone(recipe(0.0, per_device_train_batch_size=ROWS, logging_steps=4), tmp_path / "whole")
    expected = rows_of_steps(tmp_path / "whole-notes", 1)
    assert len(expected) == 2 * STEPS and kept == expected
    for ours, theirs in zip(losses(tmp_path / "run"), losses(whole), strict=True):
        assert ours[:2] == theirs[:2] and ours[2:] == pytest.approx(theirs[2:], abs=1e-4), ours
    close(tmp_path / "run", whole)


@pytest.fixture(scope="module")
def interrupted(recipe, tmp_path_factory):
    """A run with dropout, sharded on two processes; undisturbed, and killed in each phase."""
    base = tmp_path_factory.mktemp("interrupted")
    flags = recipe(0.1, gradient_accumulation_steps=2, logging_steps=4)
    for name, deaths in (("whole", ()), ("killed", ("1 21", "0 45"))):
        for number, death in enumerate((*deaths, "")):
            command = [*flags, "--output_dir", str(base / name)]
            done = torchrun(command, base / f"{name}-{number}", PROBE_KILL=death, **FSDP2)
            assert done.code == (-9 if death else 0), done.printed(0) + done.report
    return base, flags


def test_killed_in_both_phases_as_many_sharded_processes_end_bit_equal(interrupted):
    base, _ = interrupted
    reached = [max(b["phase"] for b in noted(base / f"killed-{n}", 0, "batch")) for n in range(3)]
    assert reached == ["phase1", "phase2", "phase2"]
    assert noted(base / "killed-2", 0, "batch")[0]["step"] > 0
    assert_equal_runs(base / "whole", base / "killed")


def test_each_process_drops_activations_of_its_own(interrupted):
    dropped = [[b["dropped"] for b in noted(interrupted[0] / "whole-0", rank, "batch")] for rank in range(2)]
    assert len({*dropped[0], *dropped[1]}) == 2 * len(dropped[0])


def test_processes_that_were_not_there_before_drop_activations_of_their_own(recipe, tmp_path):
    changes = {"phase1_steps": 8, "phase2_steps": 2, "save_steps": 2}
    for number, (processes, death) in enumerate(((2, "0 4"), (4, ""))):
        flags = recipe(0.1, per_device_train_batch_size=8 // processes, **changes)
        command = [*flags, "--output_dir", str(tmp_path / "run")]
        done = torchrun(command, tmp_path / f"notes-{number}", processes, PROBE_KILL=death, **FSDP2)
        assert done.code == (-9 if death else 0), done.printed(0) + done.report
    fed = [noted(tmp_path / "notes-1", rank, "batch", "phase1") for rank in range(4)]
    assert [batches[0]["step"] for batches in fed] == [2] * 4
    dropped = {batch["dropped"] for batches in fed for batch in batches}
    assert len(dropped) == 4 * len(fed[0])


# ---- what else a phase may be ----------------------------------------------------------------------------

GRADUAL = (
    '[{"name": "top", "train": "itl.out", "steps": 3}, '
    '{"name": "low_rank", "train": ["lora", "word_embeddings", "itl.out"], "lora": {"r": 3}, "steps": 5, '
    '"rewarm": false, "learning_rates": {"lora": 3}, "mlm_probability": [0.3, 0.15]}, '
    '{"name": "held", "train": ["lora", "itl"], "lora": {"r": 2, "merge": false}, "steps": 4}]'
)


def test_adapters_and_gradient_checkpointing_train_as_in_one_process(recipe, tmp_path):
    changes = {"phases": GRADUAL, "phase1_steps": None, "phase2_steps": None, "save_steps": 2}
    flags = recipe(0.0, gradient_checkpointing="true", per_device_train_batch_size=4, **changes)
    command = [*flags, "--output_dir", str(tmp_path / "two")]
    killed = torchrun(command, tmp_path / "notes-0", PROBE_KILL="0 7", **FSDP2)
    assert killed.code == -9
    done = torchrun(command, tmp_path / "notes-1", **FSDP2)
    assert done.code == 0, done
    assert noted(tmp_path / "notes-1", 0, "batch")[0]["step"] == 2
    one = alone(recipe(0.0, per_device_train_batch_size=8, **changes), tmp_path / "one")
    close(tmp_path / "two", one)
    adapters = [weights_of(folder / "adapter") for folder in (tmp_path / "two", one)]
    assert adapters[0].keys() == adapters[1].keys() and len(adapters[0]) == 12
    assert all((tensor - adapters[1][name]).abs().max() < 1e-5 for name, tensor in adapters[0].items())


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.skipif(not has_fast_bf16(use_cpu=True), reason="no bfloat16 arithmetic here")
def test_bf16_trains_sharded_as_copied(recipe, tmp_path):
    flags = recipe(0.0, bf16="true", phase1_steps=6, phase2_steps=6)
    for name, mode in (("copied", {}), ("sharded", FSDP2)):
        done = torchrun([*flags, "--output_dir", str(tmp_path / name)], tmp_path / f"{name}-notes", **mode)
        assert done.code == 0, done
    for ours, theirs in zip(losses(tmp_path / "sharded"), losses(tmp_path / "copied"), strict=True):
        assert ours == pytest.approx(theirs, abs=2e-3)
    exact = [entry[2] for entry in losses(tmp_path / "copied")]
    assert len(exact) == 12


@pytest.mark.parametrize("config", ["cpu_2", "cpu_2_fsdp2"])
def test_accelerate_launches_what_its_config_says(recipe, tmp_path, config):
    flags = recipe(0.0, phase1_steps=2, phase2_steps=2)
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    launch += ["--config_file", str(REPO / "configs" / "accelerate" / f"{config}.yaml")]
    command = [*launch, str(REPO / "tests" / "rank_probe.py"), str(tmp_path / "notes"), *flags]
    paths = os.pathsep.join([str(REPO), str(REPO / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "--use_cpu", "true", "--output_dir", str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (noted(tmp_path / "notes", rank, "end") for rank in range(2))
    assert len(first) == 2 and first == second
    whole = sum(tensor.numel() for tensor in weights(tmp_path / "run").values())
    shares = [noted(tmp_path / "notes", rank, "batch")[0]["held"] / whole for rank in range(2)]
    assert shares == pytest.approx([1.0, 1.0] if config == "cpu_2" else [0.5, 0.5], abs=0.05)
