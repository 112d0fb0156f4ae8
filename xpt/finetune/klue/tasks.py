"""The eight tasks by name, in the benchmark's order."""

from xpt.finetune.klue.dp import DP
from xpt.finetune.klue.mrc import MRC
from xpt.finetune.klue.ner import NER
from xpt.finetune.klue.nli import NLI
from xpt.finetune.klue.re import RE
from xpt.finetune.klue.sts import STS
from xpt.finetune.klue.wos import WoS
from xpt.finetune.klue.ynat import YNAT
from xpt.finetune.task import Options, Task
from xpt.program.errors import XPTError

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (YNAT, STS, NLI, NER, RE, DP, MRC, WoS)}
ALL = "all"


def make_task(name: str, options: Options | None = None) -> Task:
    """A task by its name. Raises `XPTError` for one that there is not."""
    if name not in TASKS:
        raise XPTError(f"unknown task {name!r:.40}; there are {', '.join(TASKS)}")
    return TASKS[name](options)


def task_names(given: list[str] | None) -> list[str]:
    """What `--task` names, each once. Raises `XPTError` where it names none, or one that there is not."""
    if not given:
        raise XPTError(f"no task: give --task, one of {', '.join(TASKS)}, or {ALL}")
    names = list(TASKS) if given == [ALL] else list(dict.fromkeys(given))
    for name in names:
        make_task(name)
    return names
