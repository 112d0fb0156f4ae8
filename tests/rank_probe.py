"""`train_xpt.py`, each process noting what it does; a script for torchrun, a context inside of tests.

    torchrun ... tests/rank_probe.py NOTES [options of train_xpt.py]

NOTES/rank-R.jsonl gets a line for the sentences to train on, for every micro-batch (what the model is fed,
which activations its first dropout drops, how many weights this process holds), for the weights around each
phase, for each folder that is built and for each batch that is evaluated. In the environment,
PROBE_FAIL="R N" lets rank R raise at its micro-batch N, PROBE_STOP="R N" lets it send SIGTERM to the
launcher, and PROBE_KILL="R N" lets it end all processes, the launcher included, by SIGKILL.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import Trainer

import train_xpt
import xpt.program.files
import xpt.training.evaluation
from xpt.run.post_training import PostTraining

RANK = int(os.environ.get("RANK", "0"))
TOKENS_PER_BATCH = 100  # of evaluation: tiny texts make several batches then


class Notes:
    """What this process does, a line of JSON each."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"rank-{RANK}.jsonl"
        self.phase, self.micro_batches = "", 0

    def write(self, kind: str, **values: Any) -> None:
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "phase": self.phase, **values}) + "\n")


def tensor_hash(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().view(torch.uint8).numpy()).hexdigest()[:16]


def weight_hashes(model: torch.nn.Module) -> dict[str, str]:
    return {name: tensor_hash(tensor) for name, tensor in model.state_dict().items()}


def noting_phases(notes: Notes) -> Any:
    run_phase = PostTraining.run_phase

    def noted(self, index: int) -> None:
        notes.phase = self.phases[index].name
        train = self.text.train
        notes.write("examples", ids=[train[i].tolist() for i in range(len(train))])
        notes.write("start", weights=weight_hashes(self.model))
        run_phase(self, index)
        notes.write("end", weights=weight_hashes(self.model))

    return patch.object(PostTraining, "run_phase", noted)


def noting_batches(notes: Notes) -> Any:
    training_step = Trainer.training_step

    def noted(self, model, inputs, *args, **kwargs):
        dropped = []
        core = self.accelerator.unwrap_model(model)
        hook = core.roberta.embeddings.dropout.register_forward_hook(
            lambda module, arguments, output: dropped.append(tensor_hash(output == 0))
        )
        fed = {name: inputs[name].tolist() for name in ("input_ids", "labels")}
        notes.micro_batches += 1
        disturb(notes.micro_batches)
        loss = training_step(self, model, inputs, *args, **kwargs)
        hook.remove()
        notes.write("batch", step=self.state.global_step, dropped=dropped[0], held=held(model), **fed)
        return loss

    return patch.object(Trainer, "training_step", noted)


def held(model: torch.nn.Module) -> int:
    """Weights that this process keeps between steps."""
    return sum(getattr(tensor, "_local_tensor", tensor).numel() for tensor in model.parameters())


def disturb(micro_batch: int) -> None:
    if os.environ.get("PROBE_FAIL") == f"{RANK} {micro_batch}":
        raise ValueError("a failure on purpose")
    if os.environ.get("PROBE_STOP") == f"{RANK} {micro_batch}":
        stop_launcher()
    if os.environ.get("PROBE_KILL") == f"{RANK} {micro_batch}":
        launcher = os.getppid()
        children = map(int, Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split())
        for process in (launcher, *(child for child in children if child != os.getpid()), os.getpid()):
            os.kill(process, signal.SIGKILL)


def stop_launcher() -> None:
    """Send SIGTERM to torchrun, and wait until it has passed it on to this process."""
    handler, came = signal.getsignal(signal.SIGTERM), []

    def noting_handler(number, frame):
        came.append(number)
        handler(number, frame)

    signal.signal(signal.SIGTERM, noting_handler)
    os.kill(os.getppid(), signal.SIGTERM)
    while not came:
        time.sleep(0.01)


def noting_evaluation(notes: Notes) -> Any:
    summed_loss = xpt.training.evaluation._summed_loss

    def noted(*args: Any) -> float:
        notes.write("evaluated")
        return summed_loss(*args)

    return patch.object(xpt.training.evaluation, "_summed_loss", noted)


def noting_builds(notes: Notes) -> list[Any]:
    """Whatever is prepared or saved is written through one function, which the rooms hold by name."""
    write_folder = xpt.program.files.write_folder_atomically

    def noted(folder: Path) -> Any:
        notes.write("build", folder=str(folder))
        return write_folder(folder)

    holders = [
        m for m in list(sys.modules.values()) if vars(m).get("write_folder_atomically") is write_folder
    ]
    return [patch.object(holder, "write_folder_atomically", noted) for holder in holders]


@contextmanager
def probing(folder: Path) -> Iterator[None]:
    """While open, this process notes in `folder` what it does."""
    notes = Notes(folder)
    with ExitStack() as stack:
        stack.enter_context(patch.object(xpt.training.evaluation, "TOKENS_PER_BATCH", TOKENS_PER_BATCH))
        for noting in (noting_phases, noting_batches, noting_evaluation):
            stack.enter_context(noting(notes))
        for noting in noting_builds(notes):
            stack.enter_context(noting)
        yield


if __name__ == "__main__":
    with probing(Path(sys.argv[1])):
        sys.exit(train_xpt.main(sys.argv[2:]))
