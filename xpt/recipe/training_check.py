"""What the Trainer would refuse only after the text is prepared is refused before."""

from collections.abc import Sequence

import torch

from xpt.program.errors import XPTError
from xpt.recipe.training import XPTTrainingArguments
from xpt.training.optimizer_check import check_optimizer
from xpt.training.phases import Phase
from xpt.training.rates import going_on

# name, least, most; a number outside, or one that is none (nan), is refused
RANGES: tuple[tuple[str, float, float], ...] = (
    ("per_device_train_batch_size", 1, 2**20),
    ("per_device_eval_batch_size", 1, 2**20),
    ("gradient_accumulation_steps", 1, 2**20),
    ("dataloader_num_workers", 0, 2**10),
    ("preprocessing_num_workers", 1, 2**10),
    ("seed", 0, 2**31),  # phases and processes count on from it, and NumPy takes 32 bits
    ("max_grad_norm", 0, 1e30),
    ("weight_decay", 0, 1e9),
    ("neftune_noise_alpha", 0, 1e9),
)


def check_training(arguments: XPTTrainingArguments, phases: Sequence[Phase]) -> None:
    """Raise `XPTError` for numbers, an optimizer or a schedule that cannot train any of `phases`."""
    for name, least, most in RANGES:
        value = getattr(arguments, name)
        if value is not None and not least <= value <= most:
            raise XPTError(f"--{name} is {value}; give a number from {least:g} to {most:g}")
    if arguments.keep_at and not all(0 < share < 1 for share in arguments.keep_at):
        raise XPTError("--keep_at: give shares between 0 and 1; the end is kept as the result")
    if arguments.keep_at and any(phase.until for phase in phases):
        raise XPTError("--keep_at takes shares of the steps, and where a phase has until nobody knows them")
    try:
        torch.utils.data.DataLoader(
            [0],
            num_workers=arguments.dataloader_num_workers,
            prefetch_factor=arguments.dataloader_prefetch_factor,
            persistent_workers=arguments.dataloader_persistent_workers,
            multiprocessing_context=getattr(arguments, "dataloader_multiprocessing_context", None),
        )
    except ValueError as error:
        raise XPTError(f"the --dataloader_ options cannot be used together ({error})") from error
    for phase in phases:
        try:
            scheduler = check_optimizer(arguments, phase.learning_rate, phase.lr_scheduler_type, phase.steps)
            if phase.schedule is not None:
                going_on(scheduler, 0)
        except XPTError as error:
            raise XPTError(f"{phase.name}: {error}") from error
