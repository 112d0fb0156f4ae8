"""What the Trainer would refuse only after the text is prepared is tried on a tensor of one number before."""

from typing import Any

import torch
from transformers import Trainer, get_scheduler

from xpt.program.errors import XPTError


def check_optimizer(arguments: Any, learning_rate: float, lr_scheduler_type: str, steps: int) -> Any:
    """The schedule of an optimizer of one number.

    Raises:
        XPTError: the optimizer or the schedule is not to be had: a package is missing, an option is wrong.
    """
    try:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
        optimizer = kind([torch.nn.Parameter(torch.zeros(1))], **{**options, "lr": learning_rate})
        return get_scheduler(
            lr_scheduler_type,
            optimizer,
            num_warmup_steps=0,
            num_training_steps=steps,
            scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
        )
    except Exception as error:  # each optimizer and schedule has its own ways to refuse a value
        raise XPTError(
            f"the optimizer {getattr(arguments.optim, 'value', arguments.optim)} or the schedule "
            f"{getattr(lr_scheduler_type, 'value', lr_scheduler_type)} cannot be used "
            f"({' '.join(str(error).split())}); "
            "see --optim, --lr_scheduler_type and the options of their names"
        ) from error
