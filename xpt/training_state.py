"""Training state on disk without pickle: tensors in safetensors, everything else in JSON.

optimizer.safetensors, optimizer.json   moments by parameter *name*, hyper-parameters of each group
scheduler.json                          learning-rate schedule
rng-<rank>.safetensors, rng-<rank>.json Python, NumPy, torch and CUDA generators of one process
trainer_state.json                      step, logged history (transformers' own format)
loss-<rank>.json                        loss that one process summed since the last log line
progress.json                           loss logged before, and where
"""

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

from xpt.errors import XPTError

TRAINING_FILES = ("optimizer.*", "scheduler.json", "scaler.json", "rng-*", "loss-*", "progress.json")
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


def save_optimizer(optimizer: Any, model: nn.Module, folder: Path) -> None:
    """Write the optimizer's state, each tensor under the name of its parameter."""
    state, names = optimizer.state_dict(), _parameter_names(optimizer, model)
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{key}|{names[index]}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(names[index], {})[key] = value
    groups = [
        {**group, "params": [names[index] for index in group["params"]]} for group in state["param_groups"]
    ]
    save_file(tensors, folder / "optimizer.safetensors")
    write_json(folder / "optimizer.json", {"param_groups": groups, "numbers": numbers})


def load_optimizer(optimizer: Any, model: nn.Module, folder: Path) -> None:
    """Restore what `save_optimizer` wrote. Raises `XPTError` where it trained other parameters."""
    stored = read_json(folder / "optimizer.json")
    names = _parameter_names(optimizer, model)
    stored_names = [name for group in stored["param_groups"] for name in group["params"]]
    if stored_names != names:
        differing = sorted(set(stored_names) ^ set(names)) or ["their order"]
        raise XPTError(f"{folder}: its optimizer trained other parameters ({differing[0]}); start a new run")
    position = {name: index for index, name in enumerate(names)}
    state: dict[int, dict[str, Any]] = {position[name]: dict(v) for name, v in stored["numbers"].items()}
    for key, tensor in load_file(folder / "optimizer.safetensors").items():
        field, name = key.split("|", 1)
        state.setdefault(position[name], {})[field] = tensor
    groups = [
        {
            **{key: tuple(value) if isinstance(value, list) else value for key, value in group.items()},
            "params": [position[name] for name in group["params"]],
        }
        for group in stored["param_groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


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
