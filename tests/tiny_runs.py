"""Whole tiny runs of `train_xpt.py`, and what two of them must have in common to count as equal."""

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from train_xpt import main
from xpt.run.folder import Run
from xpt.run.progress import PhaseProgress

TINY = {
    "vocab_size": 300,
    "max_seq_length": 32,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "bf16": "false",
}


def flags(settings: dict) -> list[str]:
    """Settings as a command line; None leaves one out."""
    given = {name: value for name, value in settings.items() if value is not None}
    return [token for name, value in given.items() for token in (f"--{name}", str(value))]


def run(arguments: list[str], folder: Path) -> Path:
    """A run that must end well."""
    assert main([*arguments, "--output_dir", str(folder)]) == 0
    return Path(folder)


def stop_after(patch: pytest.MonkeyPatch, *points: tuple[str, int]) -> None:
    """SIGTERM in each of these steps of phases, one a start."""
    step_end, left = PhaseProgress.on_step_end, list(points)

    def on_step_end(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        if left and (self.phase, state.global_step) == left[0]:
            left.pop(0)
            signal.raise_signal(signal.SIGTERM)

    patch.setattr(PhaseProgress, "on_step_end", on_step_end)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def comparable_results(folder: Path) -> dict:
    """results.json without what depends on the clock, the machine and the folder's name."""
    results = json.loads((folder / "results.json").read_text())
    for phase in results["phases"]:
        del phase["tokens_per_second"]
    for key in ("command", "seconds", "peak_memory_mib"):
        del results[key]
    for place in ("output_dir", "cache_dir"):
        del results["settings"][place]
    return results


def losses(folder: Path) -> list[tuple]:
    """Every logged loss, with where it was logged."""
    kept = ("phase", "step", "loss", "eval_loss")
    return [tuple(entry.get(key) for key in kept) for entry in Run(folder).read_log()]


def assert_equal_runs(first: Path, second: Path) -> None:
    """Weights to the bit, results and logged losses."""
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys() and all(
        torch.equal(tensor, other[name]) for name, tensor in one.items()
    )
    assert comparable_results(first) == comparable_results(second)
    assert losses(first) == losses(second)
