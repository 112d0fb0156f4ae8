"""What the Trainer would refuse only after the text is prepared is tried on a tensor of one number before."""

from collections.abc import Sequence

import torch
from transformers import Trainer, get_scheduler

from xpt.program.errors import XPTError
from xpt.recipe.training import XPTTrainingArguments
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
            kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
            optimizer = kind([torch.nn.Parameter(torch.zeros(1))], **{**options, "lr": phase.learning_rate})
            scheduler = get_scheduler(
                phase.lr_scheduler_type,
                optimizer,
                num_warmup_steps=0,
                num_training_steps=phase.steps,
                scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
            )
            if phase.schedule is not None:
                going_on(scheduler, 0)
        except XPTError as error:
            raise XPTError(f"{phase.name}: {error}") from error
        except Exception as error:  # each optimizer and schedule has its own ways to refuse a value
            raise XPTError(
                f"{phase.name}: the optimizer {getattr(arguments.optim, 'value', arguments.optim)} or the "
                f"schedule {phase.lr_scheduler_type} cannot be used ({' '.join(str(error).split())}); "
                "see --optim, --lr_scheduler_type and the options of their names"
            ) from error
