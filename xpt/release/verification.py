"""Whether what was published is what was meant: downloaded again, hashes and outputs compared."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from torch import nn

from xpt.finetune.heads.headed import HeadedModel
from xpt.finetune.saving import load_fine_tuned
from xpt.program.errors import XPTError
from xpt.program.manifest import file_sha256
from xpt.release.hub_access import hub_errors
from xpt.release.staging import Staged
from xpt.transplant.architectures import DECODERS
from xpt.transplant.parameter_groups import ADAPTER_FOLDER

ROWS, LENGTH = 3, 12  # of the ids that models are compared on


def verify_published(api: HfApi, repo_id: str, commit: str, staged: Staged, original: Path) -> None:
    """Download a commit and compare it with what was staged, and its outputs with the original's.

    Args:
        original: the folder that was published, before anything was staged.

    Raises:
        XPTError: a file more, less or other, or other outputs.
    """
    with tempfile.TemporaryDirectory(prefix="xpt-verify-") as cache:
        with hub_errors(repo_id):
            folder = Path(api.snapshot_download(repo_id, revision=commit, cache_dir=cache))
        found = {
            path.relative_to(folder).as_posix(): file_sha256(path)
            for path in folder.rglob("*")
            if path.is_file()
        }
        expected = {name: file.sha256 for name, file in staged.files.items()}
        different = sorted({name for name, _ in found.items() ^ expected.items()})
        if different:
            raise XPTError(
                f"{repo_id}: {different[0]} is not what was uploaded; start the same command again"
            )
        if not same_outputs(original, folder):
            raise XPTError(f"{repo_id}: the published model computes something else than {original}")


def same_outputs(first: Path, second: Path) -> bool:
    """Whether two folders hold models with bit-equal logits on padded rows, or equal tensors where a head of
    ours reads more than ids; adapters beside a model count too."""
    one, other = (load_fine_tuned(folder)[0] for folder in (first, second))
    if isinstance(_base(one), HeadedModel):
        mine, theirs = one.state_dict(), other.state_dict()
        return mine.keys() == theirs.keys() and all(
            torch.equal(tensor, theirs[key]) for key, tensor in mine.items()
        )
    batch = _ids(_base(one))
    with torch.no_grad():
        outputs = [model(**batch).to_tuple() for model in (one, other)]
    equal = all(torch.equal(mine, theirs) for mine, theirs in zip(*outputs, strict=True))
    adapters = [folder / ADAPTER_FOLDER / "adapter_model.safetensors" for folder in (first, second)]
    if adapters[0].exists():
        equal = equal and adapters[1].exists() and file_sha256(adapters[0]) == file_sha256(adapters[1])
    return equal


def _base(model: Any) -> nn.Module:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _ids(model: Any) -> dict[str, Any]:
    """Ids all over the vocabulary, one row padded; (rows, choices, length) for multiple choice."""
    config = model.config
    pad = config.pad_token_id or 0
    vocabulary = model.get_input_embeddings().num_embeddings
    ids = torch.randint(0, vocabulary, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[ids == pad] = (pad + 1) % vocabulary
    ids[0, LENGTH // 2 :] = pad
    if type(model).__name__.endswith("ForMultipleChoice"):
        ids = ids[:, None].repeat(1, 2, 1)
    cache = {"use_cache": False} if config.model_type in DECODERS else {}  # which is none of the outputs
    return {"input_ids": ids, "attention_mask": ids.ne(pad).long(), **cache}
