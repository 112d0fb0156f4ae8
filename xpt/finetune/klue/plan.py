"""What is fine-tuned on which tasks: options, the runs that they mean, and the data of each task."""

from dataclasses import dataclass, field
from pathlib import Path

from xpt.finetune.arguments import FineTuningArguments, ModelArguments, TaskArguments
from xpt.finetune.klue.data import chosen_examples, find_file, first_examples, read_file
from xpt.finetune.klue.hub import read_hub
from xpt.finetune.klue.tasks import make_task, task_names
from xpt.finetune.split import Split
from xpt.finetune.task import Task
from xpt.program.errors import XPTError
from xpt.program.options import check_trackers
from xpt.training.optimizer_check import check_optimizer


@dataclass(frozen=True)
class Job:
    """One run: a task, a seed, the folder of its result, and where that is published, if it is."""

    task: str
    seed: int
    folder: Path
    repo_id: str | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that a fine-tuning on KLUE (Park et al. 2021) is asked for, and the `jobs` that this makes.

    Args:
        model: what is fine-tuned.
        tasks: on what.
        training: how, and the folder of the results.

    Raises:
        XPTError: no model, no task, one that there is not, or options that do not go together.

    Example:
        >>> plan = xpt.Plan(
        ...     model=xpt.ModelArguments("output/mine"),
        ...     tasks=xpt.TaskArguments(["nli", "sts"], data_dir="klue-v1.1"),
        ...     training=xpt.FineTuningArguments(output_dir="output/klue"),
        ... )
        >>> [job.folder.as_posix() for job in plan.jobs]
        ['output/klue/nli/seed-42', 'output/klue/sts/seed-42']
        >>> len(plan.splits("nli")["train"].examples)
        16
    """

    model: ModelArguments = field(default_factory=ModelArguments)
    tasks: TaskArguments = field(default_factory=TaskArguments)
    training: FineTuningArguments = field(default_factory=FineTuningArguments)
    jobs: tuple[Job, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = self._check()
        seeds = list(dict.fromkeys(self.tasks.seeds or [self.training.seed]))
        folder, repository = Path(str(self.training.output_dir)), self.training.hub_model_id
        single = len(names) * len(seeds) == 1

        def repo_id(name: str, seed: int) -> str | None:
            if single or not repository:
                return repository
            return f"{repository}-{name}" + (f"-seed-{seed}" if len(seeds) > 1 else "")

        jobs = tuple(
            Job(name, seed, folder if single else folder / name / f"seed-{seed}", repo_id(name, seed))
            for name in names
            for seed in seeds
        )
        object.__setattr__(self, "jobs", jobs)

    def _check(self) -> list[str]:
        """Raise `XPTError` for what cannot be done; the names of the tasks."""
        model, tasks, training = self.model, self.tasks, self.training
        check_trackers(training)
        check_optimizer(training, training.learning_rate or 0, training.lr_scheduler_type, steps=1)
        if training.shards:
            raise XPTError(
                "fine-tuning shares out no weights; launch it without FSDP: "
                "see configs/accelerate/ddp_1x8.yaml"
            )
        if not model.model_name_or_path:
            raise XPTError("no model: give --model_name_or_path, a Hub id or folder")
        if training.push_to_hub and model.lora and Path(model.model_name_or_path).is_dir():
            raise XPTError(
                "--push_to_hub: adapters need a base that others have; publish it and name its Hub id, or "
                "train without --push_to_hub and publish later: xpt push ... --base_model_id OWNER/NAME"
            )
        names = task_names(tasks.task)
        if len(names) > 1 and (tasks.train_file or tasks.validation_file):
            raise XPTError("--train_file and --validation_file are of one task; give --data_dir for several")
        for count in (tasks.max_train_examples, tasks.max_validation_examples):
            if count is not None and count < 1:
                raise XPTError(f"--max_train_examples and --max_validation_examples are counts, not {count}")
        return names

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
