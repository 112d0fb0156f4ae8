"""Training state on disk without pickle: tensors in safetensors, everything else in JSON.

optimizer.safetensors, optimizer.json   moments by parameter *name*, hyper-parameters of each group
optimizer-<n>-of-<N>.safetensors        of sharded training: the rows of moments that one process keeps
scheduler.json                          learning-rate schedule
rng-<rank>.safetensors, rng-<rank>.json Python, NumPy, torch and CUDA generators of one process
trainer_state.json                      step, logged history (transformers' own format)
loss-<rank>.json                        loss that one process summed since the last log line
progress.json                           loss logged before, and where

Any number of processes reads what any other number wrote.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import set_seed

from xpt.program.errors import XPTError
from xpt.training.sharded import from_rows, rows_of
from xpt.training.stored_rows import StoredTensors, save_rows, shard_name

OPTIMIZER = "optimizer"
TRAINING_FILES = (
    "optimizer.*",
    "optimizer-*",
    "scheduler.json",
    "scaler.json",
    "rng-*",
    "loss-*",
    "progress.json",
)
SMALL_FILES_BYTES = 4 << 20  # tokenizer, code, generators: what a checkpoint holds beside its tensors


@contextmanager
def reading(checkpoint: Path) -> Iterator[None]:
    """Turn what a checkpoint of another make raises in the block into an `XPTError` that names it."""
    try:
        yield
    except (AttributeError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise XPTError(
            f"{checkpoint} cannot be read as this program writes it ({reason}); "
            "delete it, and the same command goes on from the one before"
        ) from error


def remove_training_state(checkpoint: Path) -> None:
    """Leave the model alone: a finished phase needs no optimizer."""
    for pattern in TRAINING_FILES:
        for file in checkpoint.glob(pattern):
            file.unlink()


def estimated_bytes(model: nn.Module) -> int:
    """About how large a checkpoint of `model` is: its weights, and two moments of what is trained now."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    moments = sum(8 * tensor.numel() for tensor in model.parameters() if tensor.requires_grad)
    return weights + moments + SMALL_FILES_BYTES


def save_optimizer_rows(optimizer: Any, model: nn.Module, folder: Path, rank: int, processes: int) -> None:
    """Write the rows that this process keeps of the optimizer's state; nothing where it is not sharded."""
    names = _parameter_names(optimizer, model)
    kept = {
        f"{key}|{names[index]}": (value.to_local(), rows_of(value))
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if isinstance(value, DTensor)
    }
    if kept:
        save_rows(folder / shard_name(OPTIMIZER, rank, processes), kept)


def save_optimizer(optimizer: Any, model: nn.Module, folder: Path) -> None:
    """Write the optimizer's state, each tensor under the name of its parameter, but no shared out ones."""
    state, names = optimizer.state_dict(), _parameter_names(optimizer, model)
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, DTensor):
                continue
            if isinstance(value, torch.Tensor):
                tensors[f"{key}|{names[index]}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(names[index], {})[key] = value
    groups = [
        {**group, "params": [names[index] for index in group["params"]]} for group in state["param_groups"]
    ]
    save_file(tensors, folder / f"{OPTIMIZER}.safetensors")
    write_json(folder / f"{OPTIMIZER}.json", {"param_groups": groups, "numbers": numbers})


def load_optimizer(optimizer: Any, model: nn.Module, folder: Path) -> None:
    """Restore what any number of processes wrote. Raises `XPTError` where it trained other parameters."""
    stored = read_json(folder / f"{OPTIMIZER}.json")
    names = _parameter_names(optimizer, model)
    stored_names = [name for group in stored["param_groups"] for name in group["params"]]
    if stored_names != names:
        differing = sorted(set(stored_names) ^ set(names)) or ["their order"]
        raise XPTError(f"{folder}: its optimizer trained other parameters ({differing[0]}); start a new run")
    position = {name: index for index, name in enumerate(names)}
    groups = [
        {
            **{key: tuple(value) if isinstance(value, list) else value for key, value in group.items()},
            "params": [position[name] for name in group["params"]],
        }
        for group in stored["param_groups"]
    ]
    state = _stored_state(optimizer, model, folder, stored["numbers"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_moments(optimizer: Any, model: nn.Module, folder: Path) -> None:
    """Take over what another optimizer knows of parameters that both train; rates and the rest stay."""
    numbers = read_json(folder / f"{OPTIMIZER}.json")["numbers"]
    state = _stored_state(optimizer, model, folder, numbers)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _stored_state(
    optimizer: Any, model: nn.Module, folder: Path, numbers: dict[str, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """The stored state of the parameters of `optimizer`, by their place in it."""
    names = _parameter_names(optimizer, model)
    position = {name: index for index, name in enumerate(names)}
    state = {position[name]: dict(values) for name, values in numbers.items() if name in position}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    tensors = StoredTensors(sorted(folder.glob(f"{OPTIMIZER}*.safetensors")))
    for key in tensors.names():
        field, name = key.split("|", 1)
        if name in position:
            place = position[name]
            state.setdefault(place, {})[field] = _restored(tensors, key, parameters[place])
    return state


def _restored(tensors: StoredTensors, key: str, parameter: torch.Tensor) -> torch.Tensor:
    """A stored tensor: the rows of its parameter that this process keeps, or all of it."""
    if isinstance(parameter, DTensor) and tensors.shape(key) == parameter.shape:
        return from_rows(tensors.rows(key, rows_of(parameter)), parameter)
    return tensors.whole(key)


def _parameter_names(optimizer: Any, model: nn.Module) -> list[str]:
    """Names of the optimizer's parameters, in the order its `state_dict` numbers them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def save_rng_state(folder: Path, rank: int) -> None:
    """Write the generators of this process."""
    version, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    tensors = {
        "torch": torch.random.get_rng_state(),
        "numpy": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.random.get_rng_state()
    save_file(tensors, folder / f"rng-{rank}.safetensors")
    numpy_rest = {
        "pos": numpy_state["state"]["pos"],
        "has_gauss": numpy_state["has_gauss"],
        "gauss": numpy_state["gauss"],
    }
    write_json(folder / f"rng-{rank}.json", {"python": [version, list(words), gauss], "numpy": numpy_rest})


def seed_newcomer(seed: int, step: int, rank: int) -> None:
    """Seed the generators of a process that a checkpoint knows nothing of: there were fewer then."""
    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    set_seed(int.from_bytes(digest[:4], "big"))


def has_rng_state(folder: Path, rank: int) -> bool:
    """Whether a process of this rank took part in the checkpoint."""
    return (folder / f"rng-{rank}.json").exists()


def load_rng_state(folder: Path, rank: int) -> None:
    """Restore the generators of this process."""
    tensors, rest = load_file(folder / f"rng-{rank}.safetensors"), read_json(folder / f"rng-{rank}.json")
    version, words, gauss = rest["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": tensors["numpy"].numpy().astype(np.uint32), "pos": rest["numpy"]["pos"]},
            "has_gauss": rest["numpy"]["has_gauss"],
            "gauss": rest["numpy"]["gauss"],
        }
    )
    torch.random.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.random.set_rng_state(tensors["cuda"])


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """A JSON file inside a folder that is being staged."""
    path.write_text(json.dumps(value, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"training state holds a {type(value).__name__}, which JSON cannot keep")
