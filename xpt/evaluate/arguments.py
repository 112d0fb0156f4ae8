"""What a user says of an evaluation: models, items, how they are scored; every field with its reason."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from xpt.evaluate.items import ASKED, DataSource, owner_of
from xpt.finetune.benchmark import ALL
from xpt.finetune.kobest.tasks import KOBEST
from xpt.program.errors import XPTError
from xpt.program.settings import check_values, option, option_of
from xpt.survey.names import as_hub_id
from xpt.text.corpus.settings import CorpusSettings

DEFAULT_OUTPUT = "output/evaluate"


@dataclass
class ScoredModels:
    """Models."""

    model_name_or_path: list[str] | None = option(
        None,
        "Decoders or masked models: Hub ids, folders or names that xpt models lists; an XPT checkpoint too. "
        "Default: none, one must be given.",
    )
    model_revision: str | None = option(
        None, "Branch, tag or commit on the Hub, of one model. Default: main."
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.model_revision and len(self.model_name_or_path or ()) > 1:
            raise XPTError("--model_revision is of one model; name one")

    def named(self) -> list[tuple[str, str | None]]:
        """Each model with its revision. Raises `XPTError` where none is given, or one twice."""
        names = self.model_name_or_path or []
        if not names:
            raise XPTError("no model: give --model_name_or_path, a Hub id or folder")
        found = [as_hub_id(name, self.model_revision) for name in names]
        if len(set(found)) < len(found):
            raise XPTError("--model_name_or_path names a model twice")
        return found


@dataclass
class ItemArguments:
    """Test items."""

    task: list[str] | None = option(
        None,
        "boolq, copa, hellaswag, sentineg, wic; several, or all. For --check_overlap tasks of KLUE, too: "
        "ynat, sts, nli, ner, re, dp, mrc, wos, whose validation set is looked for. Default: all of KoBEST.",
    )
    data_dir: list[str] | None = option(
        None,
        "Folders of official releases (KoBEST v1.0, KLUE v1.1; plain or .xz files), each searched for each "
        "task. Default: skt/kobest_v1 and klue/klue on the Hub.",
    )
    dataset_name: str | None = option(
        None, "Data set on the Hub instead of skt/kobest_v1, or a folder laid out as that one."
    )
    dataset_revision: str | None = option(None, "Branch, tag or commit of the data set. Default: its newest.")
    max_test_examples: int | None = option(
        None, "Take this many items, the first ones; the results say so. Default: all."
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.max_test_examples is not None and self.max_test_examples < 1:
            raise XPTError(f"--max_test_examples is a count, not {self.max_test_examples}")
        if self.data_dir and (self.dataset_name or self.dataset_revision):
            raise XPTError("--data_dir and --dataset_name: give one of them")

    @property
    def source(self) -> DataSource:
        """Where items come from."""
        folders = tuple(Path(folder) for folder in self.data_dir or ())
        return DataSource(folders, self.dataset_name, self.dataset_revision)

    def names(self) -> list[str]:
        """The tasks, each once. Raises `XPTError` for one that there is not."""
        given = self.task or [ALL]
        if given == [ALL]:
            return list(KOBEST.tasks)
        for name in given:
            owner_of(name)
        return list(dict.fromkeys(given))

    def asked(self) -> list[str]:
        """The same, of tasks that there are prompts for. Raises `XPTError` for others."""
        names = self.names()
        for name in names:
            if name not in ASKED:
                raise XPTError(
                    f"{name} is a task of {owner_of(name).title}, which has no prompts here; fine-tune on it "
                    f"(xpt finetune), or give {', '.join(ASKED)}"
                )
        return names


@dataclass
class ScoringArguments:
    """Scoring."""

    num_fewshot: list[int] | None = option(
        None, "Training examples shown before each item; several numbers, a column each. Default: 0."
    )
    fewshot_seed: int = option(
        1234, "Seed of their draw; lm-evaluation-harness's default, so that its shots are the same."
    )
    prompts: Literal["harness", "ko_harness"] = option(
        "harness",
        "Family of prompts: of lm-evaluation-harness, or of the fork by which later Korean models are "
        "compared (Beomi/ko-lm-evaluation-harness). Their scores never share a table.",
    )
    batch_size: int = option(
        16, "Rows scored at once, of the longest; shorter ones share a batch of as many tokens."
    )
    max_length: int | None = option(
        None,
        "Tokens of a row; what is longer loses its beginning. Default: what the model can read, else 2048.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = option(
        "float32", "Numbers that the model computes in."
    )
    device: str | None = option(None, "cpu, cuda, cuda:1. Default: the first GPU, if there is one.")
    dry_run: bool = option(
        False, "Read the items and say what would be scored, with published figures; no model is opened."
    )
    output_dir: str = option(
        DEFAULT_OUTPUT, "Folder of the results. The same command goes on where it stopped."
    )

    def __post_init__(self) -> None:
        check_values(self)
        for shots in self.shots:
            if shots < 0:
                raise XPTError(f"--num_fewshot is a count, not {shots}")
        for name in ("batch_size", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise XPTError(f"--{name} is {value}; give at least 1")

    @property
    def shots(self) -> list[int]:
        """Each number of shots once."""
        return list(dict.fromkeys(self.num_fewshot or [0]))


@dataclass
class OverlapArguments:
    """Test items in a training text."""

    check_overlap: list[str] | None = option(
        None,
        "Instead of scoring, look for the test items of --task in these texts: files, folders, globs or Hub "
        "data sets, read as xpt train reads them. The exit code is 1 where one is found. Default: score.",
    )
    corpus_column: str | None = option_of(CorpusSettings, "column")

    def __post_init__(self) -> None:
        check_values(self)

    def refuse_alone(self, given: Collection[str]) -> None:
        """Raise `XPTError` where an option of the search is given without it."""
        for entry in fields(self):
            if entry.name in given:
                raise XPTError(f"--{entry.name} is for --check_overlap; name texts there")
