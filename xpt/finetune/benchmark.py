"""What a benchmark is beside its tasks: its names, its data set, its metrics, what its authors report."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from xpt.finetune.task import Options, Task
from xpt.program.errors import XPTError

ALL = "all"


@dataclass(frozen=True)
class Benchmark:
    """Tasks that belong together.

    Args:
        name: in options and results: "klue".
        title: for people: "KLUE".
        tasks: by name, in its order.
        dataset: its id on the Hub, where a task is a configuration.
        metrics: of each task the official ones, in the order of its tables.
        descriptions: what each metric is, in a line.
        citation: the paper, in Markdown, in lines of a card.
        published: a section in Markdown with what its authors report of the wanted metrics; "" for nothing.
    """

    name: str
    title: str
    tasks: Mapping[str, type[Task]]
    dataset: str
    metrics: Mapping[str, tuple[str, ...]]
    descriptions: Mapping[str, str]
    citation: str
    published: Callable[[Collection[str]], str] = lambda wanted: ""

    def make_task(self, name: str, options: Options | None = None) -> Task:
        """A task by its name. Raises `XPTError` for one that there is not."""
        if name not in self.tasks:
            raise XPTError(f"unknown task {name!r:.40}; there are {', '.join(self.tasks)}")
        return self.tasks[name](options)

    def task_names(self, given: list[str] | None) -> list[str]:
        """What `--task` names, each once. Raises `XPTError` where it names none, or one that there is not."""
        if not given:
            raise XPTError(f"no task: give --task, one of {', '.join(self.tasks)}, or {ALL}")
        names = list(self.tasks) if given == [ALL] else list(dict.fromkeys(given))
        for name in names:
            self.make_task(name)
        return names

    @property
    def has_test(self) -> bool:
        """Whether scores are of its test set, and validation only chooses; else validation does both."""
        return "test" in self.splits

    @property
    def splits(self) -> tuple[str, ...]:
        """Train, validation, and test where that is public."""
        return tuple(next(iter(self.tasks.values())).sizes)
