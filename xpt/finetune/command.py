"""The command line of `finetune_klue.py` becomes a `Plan`."""

import os
from collections.abc import Sequence
from pathlib import Path

from xpt.finetune.arguments import FineTuningArguments, ModelArguments, TaskArguments
from xpt.finetune.plan import Plan
from xpt.program.errors import XPTError
from xpt.program.options import OptionParser

INTRODUCTION = """\
Fine-tune any Hugging Face model on tasks of KLUE, the Korean benchmark, and score it as the benchmark does.
Those of KoBEST, another one, are scored on its test set; its validation set chooses the best step.

  python finetune_klue.py --model_name_or_path MODEL --task TASK ... --OPTION VALUE ...

  python finetune_klue.py --model_name_or_path output/demo --task nli --output_dir output/nli
  python finetune_klue.py --model_name_or_path klue/bert-base --task all --seeds 1 2 3
  xpt finetune --model_name_or_path klue/bert-base --benchmark kobest --task copa
  python finetune_klue.py --model_name_or_path MODEL --task re --data_dir klue-v1.1 --lora true

  xpt compare output/*        one table and one picture over what was fine-tuned
  xpt score --task re --gold FILE --predictions FILE

Options may stand in YAML files before the flags. The same command again goes on where it stopped."""


def make_parser() -> OptionParser:
    """The parser behind `finetune_klue.py --help`."""
    return OptionParser(
        (ModelArguments, TaskArguments, FineTuningArguments),
        "finetune_klue.py",
        INTRODUCTION,
        FineTuningArguments.refused,
    )


def read_plan(arguments: str | os.PathLike[str] | Sequence[str]) -> Plan:
    """A plan from YAML files and flags, as `xpt finetune` takes them.

    Args:
        arguments: one file, or a command line in words: files, then flags. Later ones win.

    Raises:
        XPTError: in one line, for anything that cannot be used.

    Example:
        >>> plan = xpt.read_plan("--model_name_or_path output/mine --task nli --seeds 1 2".split())
        >>> [job.seed for job in plan.jobs]
        [1, 2]
    """
    words = [os.fspath(arguments)] if isinstance(arguments, str | os.PathLike) else arguments
    return Plan(*make_parser().read(words, _file).parts)


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise XPTError(f"{name}: no such file; options may stand in YAML files before the flags")
    return path
