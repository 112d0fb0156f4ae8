"""Options that any training here shares: what it computes in, where it reports to and is published."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from transformers import TrainingArguments
from transformers.utils import is_liger_kernel_available

from xpt.program.errors import XPTError
from xpt.program.precision import resolve_bf16
from xpt.program.settings import changed_values, check_values, option
from xpt.training.sharded import take_request

# Options of transformers' own pushing, which is not used.
HUB_REFUSED = {
    "hub_token": "is refused: a token on the command line is seen by others; use `hf auth login`",
    "hub_strategy": "is not used: see --push_to_hub",
    "hub_always_push": "is not used: see --push_to_hub",
    "hub_revision": "is not used: everything goes to `main`; results have tags",
}


@dataclass
class MachineArguments(TrainingArguments):
    """Hardware and log.

    `refused` has options of transformers that cannot be meant here, and why or what instead; `chosen`, once
    it is made, the values that are not the default's, as they were given.
    """

    refused: ClassVar[Mapping[str, str]] = {}

    bf16: bool | None = option(
        None, "bfloat16 autocast: faster, and less memory. Default: where the hardware has it."
    )
    fp16: bool = option(False, "float16 autocast, for GPUs before Ampere; its loss scaling skips steps.")
    full_determinism: bool = option(
        False, "Only deterministic GPU kernels, so that a resumed run is bit-equal there; slower."
    )
    use_cpu: bool = option(False, "Stay on the CPU where there is an accelerator.")
    fast_path: bool = option(
        True,
        "On a CPU, train with attention and dropout that are measured to be faster than torch's "
        "(docs/performance.md) and equal up to rounding; false: the stock operations.",
    )
    dataloader_num_workers: int = option(
        0, "Processes that build batches ahead of time. 0 is enough on a CPU; batches are the same."
    )
    logging_nan_inf_filter: bool = option(
        False, "Leave infinite and NaN losses out of the logged mean; off, so that a divergence shows."
    )
    report_to: str = option(
        "none", "Tracker that also gets every log line (tensorboard, wandb, trackio, ...; all, none)."
    )
    model_license: str | None = option(
        None,
        "License of the model for its card, by the Hub's identifier (apache-2.0, cc-by-sa-4.0, other). "
        "Default: none, and the card says that none is stated.",
    )

    def __post_init__(self) -> None:
        self.chosen = self.checked()
        check_license(self.model_license)
        if self.use_liger_kernel and not is_liger_kernel_available():
            raise XPTError("--use_liger_kernel needs a package that is not there: pip install liger-kernel")
        # Without an accelerator the stock class refuses bf16 unless told that the CPU is meant.
        self.use_cpu: bool = self.use_cpu or not torch.accelerator.is_available()
        self.bf16 = resolve_bf16(self.bf16, self.use_cpu) if not self.fp16 else False
        asked = take_request()
        try:
            super().__post_init__()
        except (ValueError, ImportError) as error:
            raise XPTError(" ".join(str(error).split())) from error
        self.shards = asked and self.world_size > 1  # whether processes share out the weights
        if self.shards and self.fp16:
            raise XPTError(
                "--fp16 does not go with FSDP2; give --bf16 true, or a launcher's config without FSDP"
            )

    def checked(self) -> dict[str, Any]:
        """What is not the default's, by name. Raises `XPTError` for what is refused, or is no such value."""
        for name in changed_values(self):
            if name in self.refused:
                raise XPTError(f"--{name} {self.refused[name]}")
        check_values(self)
        return changed_values(self)

    @property
    def rows_per_step(self) -> int:
        """Rows that all devices and micro-batches of one optimizer step read."""
        return self.train_batch_size * self.gradient_accumulation_steps * max(self.world_size, 1)


@dataclass
class HubArguments(MachineArguments):
    """Publishing on the Hub."""

    push_to_hub: bool = option(
        False,
        "Publish on the Hub what is finished: each phase, under its name as a tag, or each fine-tuned model. "
        "A failure there stops no training. It can be done later: see xpt push --help.",
    )
    hub_model_id: str | None = option(
        None,
        "OWNER/NAME of the repository. Of several tasks or seeds, each gets one of its own: OWNER/NAME-TASK, "
        "OWNER/NAME-TASK-seed-SEED. Default: none, it must be given.",
    )
    hub_private_repo: bool | None = option(
        None, "Only you and the owner's members see it. Default: as it is; of a new one, the account's."
    )


def check_license(identifier: str | None) -> None:
    """Raise `XPTError` for what cannot be one of the Hub's license identifiers."""
    if identifier is not None and not re.fullmatch(r"[a-z0-9]+(?:[.+-][a-z0-9]+)*", identifier):
        raise XPTError(
            f"--model_license {identifier!r} is no identifier of the Hub; give one such as apache-2.0, "
            "cc-by-sa-4.0 or other"
        )
