"""`train_xpt.py` as torchrun starts it, each process noting what it does: run by tests, not imported.

    torchrun ... tests/rank_probe.py NOTES [options of train_xpt.py]

NOTES/rank-R.jsonl gets a line for every micro-batch (what the model is fed, which activations its first
dropout drops), for the weights after each phase, and for each build of a prepared part. In the environment,
PROBE_FAIL="R N" lets rank R raise at its micro-batch N, and PROBE_KILL the same by SIGKILL to all processes.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import torch
from transformers import Trainer

import train_xpt
import xpt.files
import xpt.post_training

RANK = int(os.environ.get("RANK", "0"))


class Notes:
    """What this process does, a line of JSON each."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = open(folder / f"rank-{RANK}.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self.phase = ""
        self.micro_batches = 0

    def write(self, kind: str, **values) -> None:
        self.file.write(json.dumps({"kind": kind, "phase": self.phase, **values}) + "\n")
        self.file.flush()


def tensor_hash(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def weight_hashes(model: torch.nn.Module) -> dict[str, str]:
    return {name: tensor_hash(tensor) for name, tensor in model.state_dict().items()}


def note_phases(notes: Notes) -> None:
    run_phase = xpt.post_training.PostTraining.run_phase

    def noted(self, index: int) -> None:
        notes.phase = self.phases[index].name
        notes.write("start", weights=weight_hashes(self.model))
        run_phase(self, index)
        notes.write("end", weights=weight_hashes(self.model))

    xpt.post_training.PostTraining.run_phase = noted


def note_batches(notes: Notes) -> None:
    training_step = Trainer.training_step

    def noted(self, model, inputs, *args, **kwargs):
        dropped = []
        core = self.accelerator.unwrap_model(model)
        hook = core.roberta.embeddings.dropout.register_forward_hook(
            lambda module, arguments, output: dropped.append(tensor_hash(output == 0))
        )
        kept = {name: inputs[name].tolist() for name in ("input_ids", "labels")}
        notes.micro_batches += 1
        disturb(notes.micro_batches)
        loss = training_step(self, model, inputs, *args, **kwargs)
        hook.remove()
        notes.write("batch", step=self.state.global_step, dropped=dropped[0], **kept)
        return loss

    Trainer.training_step = noted


def disturb(micro_batch: int) -> None:
    if os.environ.get("PROBE_FAIL") == f"{RANK} {micro_batch}":
        raise ValueError("a failure on purpose")
    if os.environ.get("PROBE_KILL") == f"{RANK} {micro_batch}":
        launcher = os.getppid()
        others = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        for process in (launcher, *(int(pid) for pid in others if int(pid) != os.getpid()), os.getpid()):
            os.kill(process, signal.SIGKILL)


def note_builds(notes: Notes) -> None:
    """Everything prepared is written through one function, which the rooms hold by name."""
    write_folder = xpt.files.write_folder_atomically

    def noted(folder: Path):
        notes.write("build", folder=str(folder))
        return write_folder(folder)

    for module in list(sys.modules.values()):
        if getattr(module, "write_folder_atomically", None) is write_folder:
            module.write_folder_atomically = noted


if __name__ == "__main__":
    notes = Notes(Path(sys.argv[1]))
    note_phases(notes)
    note_batches(notes)
    note_builds(notes)
    sys.exit(train_xpt.main(sys.argv[2:]))
