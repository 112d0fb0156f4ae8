"""FSDP2: each process of a phase keeps a share of the weights, their gradients and their moments.

The run's own model stays what it is: whole, in every process, on the CPU while a phase trains. What trains is
a sharded copy of it (torch's `fully_shard`, a unit for each layer, ITLs included, and one for embeddings and
head, whose word embeddings are tied). Whatever looks at weights in between, to evaluate or to save them,
gathers them into the whole model first, and the next phase shards a new copy with other parameters frozen.

The launcher asks for it as for accelerate's own FSDP, which shards on GPUs alone and would do so its own way.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from transformers.models.roberta.modeling_roberta import RobertaLayer

from xpt.program.errors import XPTError
from xpt.training.stored_rows import Rows

ASKED = "ACCELERATE_USE_FSDP"  # what `accelerate launch` sets; so do torchrun's users
COMPILED = "_orig_mod."
# Of the entries of fsdp_config what this module has no use for, and what to do instead.
REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "fsdp_offload_params is not supported; leave it out",
    "FSDP_ACTIVATION_CHECKPOINTING": "fsdp_activation_checkpointing: give --gradient_checkpointing true",
}


def take_request() -> bool:
    """Whether the launcher asks for FSDP2; accelerate is not asked any more.

    Raises `XPTError` where it asks for what there is not.
    """
    asked = os.environ.pop(ASKED, "false").lower() in ("true", "1")
    if not asked:
        return False
    if os.environ.get("FSDP_VERSION", "2") != "2":
        raise XPTError("fsdp_version is not 2; give `fsdp_version: 2` in the launcher's config file")
    for name, way_out in REFUSED.items():
        if os.environ.get(name, "false").lower() == "true":
            raise XPTError(way_out)
    return True


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """A copy of `model` (whole, on the CPU) of which each process keeps its rows, on `device`."""
    from torch.distributed.fsdp import fully_shard

    options: dict[str, Any] = {"mesh": init_device_mesh(device.type, (torch.distributed.get_world_size(),))}
    sharded = copy.deepcopy(model)
    reshards = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    for module in list(sharded.modules()):
        if isinstance(module, RobertaLayer):
            fully_shard(module, reshard_after_forward=reshards, **options)
    fully_shard(sharded, **options)
    return sharded


def gather(sharded: nn.Module, whole: nn.Module) -> None:
    """Copy all weights of `sharded` into `whole`, in every process; all of them must call it."""
    with torch.no_grad():
        for ours, theirs in _pairs(sharded, whole):
            theirs.copy_(ours.full_tensor())


def scatter(whole: nn.Module, sharded: nn.Module) -> None:
    """Copy of `whole` what this process keeps of `sharded`; nothing is sent."""
    with torch.no_grad():
        for ours, theirs in _pairs(sharded, whole):
            rows = rows_of(ours)
            ours.to_local().copy_(theirs[rows.start : rows.stop])


def _pairs(sharded: nn.Module, whole: nn.Module) -> Iterator[tuple[DTensor, torch.Tensor]]:
    theirs = dict(whole.named_parameters())
    for name, tensor in sharded.named_parameters():
        assert isinstance(tensor, DTensor)
        yield tensor, theirs[name.replace(COMPILED, "")]


def rows_of(tensor: DTensor) -> Rows:
    """Which rows of `tensor` this process keeps."""
    if tensor.placements != (Shard(0),):
        raise ValueError(f"a tensor is laid out as {tensor.placements}, not by rows over all processes")
    mesh = tensor.device_mesh
    rows = Rows.of(tensor.shape[0], mesh.get_local_rank(), mesh.size())
    if len(rows) != tensor.to_local().shape[0]:
        raise ValueError(f"of {rows.total} rows this process has {tensor.to_local().shape[0]}, not {rows}")
    return rows


def from_rows(rows: torch.Tensor, like: DTensor) -> DTensor:
    """The tensor of which each process has its `rows`, laid out as `like`."""
    return DTensor.from_local(
        rows.to(like.device),
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )
