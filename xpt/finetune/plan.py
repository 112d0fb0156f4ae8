"""What is fine-tuned on which tasks: options, the runs that they mean, and the data of each task."""

from dataclasses import dataclass, field
from pathlib import Path

from xpt.finetune.arguments import FineTuningArguments, ModelArguments, TaskArguments
from xpt.finetune.benchmark import Benchmark
from xpt.finetune.benchmarks import check_owner, find_benchmark
from xpt.finetune.data import chosen_examples, find_file, first_examples, read_file
from xpt.finetune.hub import read_hub
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
    """Everything that a fine-tuning on a benchmark is asked for, and the `jobs` that this makes.

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
        folder, repository = self._folder(), self.training.hub_model_id
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
        check_owner(self.benchmark, tasks.task or ())
        names = self.benchmark.task_names(tasks.task)
        if len(names) > 1 and any(file for file, _ in self._chosen_data().values()):
            raise XPTError("--train_file and --validation_file are of one task; give --data_dir for several")
        for split, (file, count) in self._chosen_data().items():
            if split not in self.benchmark.splits and not (file is None and count is None):
                raise XPTError(
                    f"--{split}_file and --max_{split}_examples: {self.benchmark.title} has no public "
                    f"{split} set, and is scored on validation; leave them out"
                )
            if count is not None and count < 1:
                raise XPTError(f"--max_train_examples and --max_validation_examples are counts, not {count}")
        return names

    @property
    def benchmark(self) -> Benchmark:
        """Whose tasks these are."""
        return find_benchmark(self.tasks.benchmark)

    def _folder(self) -> Path:
        """Where results go, by default named after the benchmark."""
        if self.training.names_folder:
            return Path(str(self.training.output_dir))
        return Path("output", self.benchmark.name)

    def _chosen_data(self) -> dict[str, tuple[str | None, int | None]]:
        """Of each split the file and the number of examples that were asked for."""
        tasks = self.tasks
        return {
            "train": (tasks.train_file, tasks.max_train_examples),
            "validation": (tasks.validation_file, tasks.max_validation_examples),
            "test": (tasks.test_file, tasks.max_test_examples),
        }

    def task(self, name: str) -> Task:
        """A task with the options that were asked for."""
        return self.benchmark.make_task(name, self.tasks.task_options())

    def splits(self, name: str) -> dict[str, Split]:
        """The data of a task. Raises `XPTError` for what cannot be read or is not the task's."""
        task = self.task(name)
        read = {split: self._read(task, split) for split in task.sizes}
        for split, (_, count) in self._chosen_data().items():
            if split == "train":  # one choice whatever the run's seed, so that runs compare
                read[split] = chosen_examples(read[split], count, seed=0)
            elif split in read:
                read[split] = first_examples(read[split], count)
        return read

    def _read(self, task: Task, split: str) -> Split:
        arguments = self.tasks
        file, _ = self._chosen_data()[split]
        if file is not None:
            return read_file(task, Path(file), split)
        if arguments.data_dir is not None:
            return read_file(task, find_file(task, Path(arguments.data_dir), split), split)
        dataset = arguments.dataset_name or self.benchmark.dataset
        return read_hub(task, dataset, arguments.dataset_revision, split)
