"""The command line of `finetune_klue.py`: options, the runs that they mean, and the data of each task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xpt.finetune.arguments import FineTuningArguments, ModelArguments, TaskArguments
from xpt.finetune.klue.data import chosen_examples, find_file, first_examples, read_file
from xpt.finetune.klue.hub import read_hub
from xpt.finetune.klue.tasks import make_task, task_names
from xpt.finetune.split import Split
from xpt.finetune.task import Task
from xpt.program.errors import XPTError
from xpt.program.options import OptionParser, check_trackers
from xpt.training.arguments import HUB_REFUSED

INTRODUCTION = """\
Fine-tune any Hugging Face model on tasks of KLUE, the Korean benchmark, and score it as the benchmark does.

  python finetune_klue.py --model_name_or_path MODEL --task TASK ... --OPTION VALUE ...

  python finetune_klue.py --model_name_or_path output/demo --task nli --output_dir output/nli
  python finetune_klue.py --model_name_or_path klue/bert-base --task all --seeds 1 2 3
  python finetune_klue.py --model_name_or_path MODEL --task re --data_dir klue-v1.1 --lora true

  xpt compare output/*        one table and one picture over what was fine-tuned
  xpt score --task re --gold FILE --predictions FILE

Options may stand in YAML files before the flags. The same command again goes on where it stopped."""

REFUSED = {
    "max_steps": "is not used: give --num_train_epochs",
    "resume_from_checkpoint": "is not needed: a run goes on from its --output_dir by itself",
    "load_best_model_at_end": "is not needed: the best weights are always the result",
    "metric_for_best_model": "is not used: the benchmark says which metric decides",
    "greater_is_better": "is not used: the benchmark says which metric decides",
    "auto_find_batch_size": "would change what a step reads; use --per_device_train_batch_size",
    "train_sampling_strategy": "is not used: see --length_grouping",
    "eval_strategy": "is not used: see --evaluations_per_epoch",
    "eval_steps": "is not used: see --evaluations_per_epoch",
    "save_strategy": "is not used: a checkpoint comes with each evaluation",
    "save_steps": "is not used: a checkpoint comes with each evaluation",
    "label_smoothing_factor": "is refused: losses are the benchmark's",
    "accelerator_config": "is refused: processes would read rows twice or never",
    "save_only_model": "is refused: an interrupted run could not go on",
    "ignore_data_skip": "is refused: a resumed run would read other rows",
    "enable_jit_checkpoint": "is not needed: SIGTERM saves and stops by itself",
    **HUB_REFUSED,
    "fsdp": "is not supported; use torchrun without it",
    "deepspeed": "is not supported; use torchrun without it",
}


@dataclass(frozen=True)
class Job:
    """One run: a task, a seed, the folder of its result, and where that is published, if it is."""

    task: str
    seed: int
    folder: Path
    repo_id: str | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that a command line asks for."""

    model: ModelArguments
    tasks: TaskArguments
    training: FineTuningArguments
    jobs: tuple[Job, ...]

    def task(self, name: str) -> Task:
        """A task with the options that were asked for."""
        return make_task(name, self.tasks.task_options())

    def splits(self, name: str) -> dict[str, Split]:
        """The data of a task. Raises `XPTError` for what cannot be read or is not the task's."""
        arguments, task = self.tasks, self.task(name)
        files = {"train": arguments.train_file, "validation": arguments.validation_file}
        read = {}
        for split, file in files.items():
            if file is not None:
                read[split] = read_file(task, Path(file), split)
            elif arguments.data_dir is not None:
                read[split] = read_file(task, find_file(task, Path(arguments.data_dir), split), split)
            else:
                read[split] = read_hub(task, arguments.dataset_name, arguments.dataset_revision, split)
        return {
            # One choice whatever the run's seed, so that runs compare.
            "train": chosen_examples(read["train"], arguments.max_train_examples, seed=0),
            "validation": first_examples(read["validation"], arguments.max_validation_examples),
        }


def make_parser() -> OptionParser:
    """The parser behind `finetune_klue.py --help`."""
    return OptionParser(
        (ModelArguments, TaskArguments, FineTuningArguments), "finetune_klue.py", INTRODUCTION, REFUSED
    )


def read_plan(arguments: Sequence[str]) -> Plan:
    """Parse the command line. Raises `XPTError` with one line for anything that cannot be used."""
    model, tasks, training = make_parser().read(arguments, _file, default_output="output/klue").parts
    check_trackers(training)
    if training.shards:
        raise XPTError(
            "fine-tuning shares out no weights; launch it without FSDP: see configs/accelerate/ddp_1x8.yaml"
        )
    if not model.model_name_or_path:
        raise XPTError("no model: give --model_name_or_path, a Hub id or folder")
    if training.push_to_hub and model.lora and Path(model.model_name_or_path).is_dir():
        raise XPTError(
            "--push_to_hub: adapters need a base that others have; publish it and name its Hub id, or train "
            "without --push_to_hub and publish later: xpt push ... --base_model_id OWNER/NAME"
        )
    names = task_names(tasks.task)
    if len(names) > 1 and (tasks.train_file or tasks.validation_file):
        raise XPTError("--train_file and --validation_file are of one task; give --data_dir for several")
    for count in (tasks.max_train_examples, tasks.max_validation_examples):
        if count is not None and count < 1:
            raise XPTError(f"--max_train_examples and --max_validation_examples are counts, not {count}")
    seeds = list(dict.fromkeys(tasks.seeds or [training.seed]))
    folder = Path(str(training.output_dir))
    single = len(names) * len(seeds) == 1

    def repo_id(name: str, seed: int) -> str | None:
        if single or not training.hub_model_id:
            return training.hub_model_id
        return f"{training.hub_model_id}-{name}" + (f"-seed-{seed}" if len(seeds) > 1 else "")

    jobs = tuple(
        Job(name, seed, folder if single else folder / name / f"seed-{seed}", repo_id(name, seed))
        for name in names
        for seed in seeds
    )
    return Plan(model, tasks, training, jobs)


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise XPTError(f"{name}: no such file; options may stand in YAML files before the flags")
    return path
