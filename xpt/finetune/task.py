"""What a task is: how it is read, turned into features, headed, turned into predictions and measured.

    official file or Hub rows -> records -> examples -> features -> model -> outputs -> predictions -> scores

A record is one object of the official release; an example is what is learned and scored, and has a `guid`; a
feature is one sequence for the model (a long example may have several). Predictions and references are the
lines of `predictions.jsonl` and what `metric` takes. Tasks know neither files nor the Hub nor training.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from xpt.finetune.batches import masked_mean, pad_batch
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.judgment import Judgment
from xpt.program.errors import XPTError

LARGE = 1024  # hidden size from which a model is trained as the official scripts train RoBERTa-large


@dataclass(frozen=True)
class Hyperparameters:
    """What the official scripts train a task with; rates and shares as fractions."""

    max_seq_length: int
    learning_rate: float
    per_device_train_batch_size: int
    num_train_epochs: float
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Example:
    """What is learned and scored as one; `guid` is the official id."""

    guid: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from all others: the fields that a prediction names it by, in order."""
        return (self.guid,)


@dataclass(frozen=True)
class Feature:
    """One sequence for the model; of a multiple choice, one for each answer.

    Args:
        inputs: the model's arguments, unpadded: lists of length `len(input_ids)`, or labels of any shape. Of
            several sequences, a list for each.
        example: index of the example that it is made from.
        memory: what turns the model's output back into text: offsets, windows, word positions.
    """

    inputs: dict[str, Any]
    example: int
    memory: Any = None

    @property
    def lengths(self) -> list[int]:
        """Tokens of its sequence; where an example is several, of each."""
        ids = self.inputs["input_ids"]
        return [len(one) for one in ids] if len(ids) and isinstance(ids[0], list) else [len(ids)]


@dataclass(frozen=True)
class Record:
    """One object of a file, with the place that an error about it names."""

    value: Any
    place: str  # "klue-nli-v1.1_dev.json: klue-nli-v1_dev_00017", "FILE line 12"

    def wrong(self, what: str) -> XPTError:
        """The error for a record that cannot be used."""
        return XPTError(f"{self.place}: {what}; get the file again, or fix that entry")


@dataclass(frozen=True)
class Options:
    """What a user may change about a task; every field is off by default, as in the benchmark."""

    entity_markers: str = "plain"  # re: as the benchmark; "typed" with the entities' types, "none"
    tree_constraint: bool = False  # dp: one tree a sentence, by maximum spanning tree
    use_pos: bool = True  # dp: gold part-of-speech tags, as the benchmark
    linear_head: bool = False  # a label a text: one linear layer instead of the model's own head


class Metric(Protocol):
    """What scores."""

    def compute(
        self, *, predictions: list[dict[str, Any]], references: list[dict[str, Any]], variants: bool = False
    ) -> dict[str, float]:
        """Percents by name, unrounded; `variants` adds those of other definitions."""


class Task(ABC):
    """A task of a benchmark. Class attributes say what it is, methods what passes through."""

    benchmark: ClassVar[str]  # klue, kobest
    name: ClassVar[str]  # ynat, sts, nli, ner, ...
    title: ClassVar[str]  # for people: "named entity recognition"
    suffix: ClassVar[str]  # of its official files: ".json" or ".tsv"
    sizes: ClassVar[dict[str, int]]  # records of the whole splits: {"train": 21008, "validation": 5000}
    scored_on: ClassVar[str] = (
        "validation"  # the split that is reported; the best step is chosen on validation
    )
    labels: ClassVar[tuple[str, ...]] = ()  # in the official order; the model's are the same
    settings: ClassVar[Hyperparameters]  # of base models
    large_settings: ClassVar[Hyperparameters]
    selected_on: ClassVar[str]  # the metric of which the best checkpoint is kept, e.g. "ner/char_macro_f1"
    patience: ClassVar[int] = 0  # validations without a better score that are waited for; 0: for ever
    prediction_fields: ClassVar[tuple[str, ...]]  # of a line of predictions.jsonl, beside its key
    key_fields: ClassVar[tuple[str, ...]] = ("guid",)
    own_options: ClassVar[tuple[str, ...]] = ()  # fields of `Options` that change this task
    left_to_right: ClassVar[bool] = True  # whether a decoder, which sees no later words, can do it

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    @property
    def reported_as(self) -> str:
        """Its name, and what is not as in the benchmark: "dp (tree_constraint=true)"."""
        changed = [
            f"{name}={str(getattr(self.options, name)).lower()}"
            for name in self.own_options
            if getattr(self.options, name) != getattr(Options(), name)
        ]
        return f"{self.name} ({', '.join(changed)})" if changed else self.name

    def official_settings(self, hidden_size: int) -> Hyperparameters:
        """What the official scripts train a model of this width with; they know base and large ones."""
        return self.large_settings if hidden_size >= LARGE else self.settings

    def prepare(self, tokenizer: PreTrainedTokenizerFast) -> None:  # noqa: B027 (most add nothing)
        """Give the tokenizer what the task adds to it; called once, before weights are loaded."""

    # ---- reading -----------------------------------------------------------------------------------------

    @abstractmethod
    def file_stems(self, split: str) -> tuple[str, ...]:
        """Where a split's file may be in the official release, without its suffix, the likeliest first."""

    @abstractmethod
    def records(self, text: str, file: str) -> Iterator[Record]:
        """The records of an official file's whole text; `file` is its name, for errors (`XPTError`)."""

    @abstractmethod
    def hub_guid(self, split: str, number: int) -> str:
        """What the example of a row of the Hub's data set is called where that has no guids."""

    @abstractmethod
    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """A row of the Hub's data set (class labels given by name) as a record of the official file.

        `guid` is what the example is called where the Hub has lost its own. The Hub's defects are undone.
        """

    @abstractmethod
    def examples(self, record: Record) -> Iterable[Any]:
        """The examples of a record. Raises `XPTError` (`record.wrong`) for what does not fit together."""

    def warnings(self, origin: str, examples: Sequence[Any]) -> list[str]:
        """What should be known about data of file or data set `origin`: that they are of another release."""
        return []

    # ---- features and predictions ------------------------------------------------------------------------

    @abstractmethod
    def features(self, examples: Sequence[Any], encoder: TextEncoder, training: bool) -> list[Feature]:
        """What the model reads: for training with `labels`; else so that `predictions` can be made of it.

        Validation features carry labels too where one feature is one example (their loss is shown).
        """

    def collate(self, features: Sequence[Feature], encoder: TextEncoder) -> dict[str, Tensor]:
        """One batch, padded on the right to one of few lengths."""
        return pad_batch([feature.inputs for feature in features], encoder.padding, encoder.max_length)

    def outputs(self, output: Any, batch: dict[str, Tensor]) -> list[Any]:
        """The rows of a batch, cut to their lengths, as NumPy arrays: what `predictions` needs."""
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        rows = output.logits.float().cpu().numpy()
        if rows.ndim == 2:
            return list(rows)
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    @abstractmethod
    def predictions(
        self, examples: Sequence[Any], features: Sequence[Feature], outputs: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """One line of `predictions.jsonl` an example, in their order; `outputs` are those of `features`."""

    # ---- looking -----------------------------------------------------------------------------------------

    def confidences(self, output: Any, batch: dict[str, Tensor]) -> list[float]:
        """How sure the model is of each row of a batch, from 0 to 1: the probability of what it chose, the
        mean over tokens where it chooses for each."""
        best = output.logits.float().softmax(dim=-1).amax(dim=-1)  # (batch,) or (batch, length)
        if best.dim() == 2:
            best = masked_mean(best, batch["attention_mask"])
        return best.tolist()

    @abstractmethod
    def judge(self, example: Any, line: dict[str, Any]) -> Judgment:
        """An example's answer, a line of `predictions`, beside the gold one, to be looked at."""

    # ---- measuring ---------------------------------------------------------------------------------------

    @abstractmethod
    def metric(self) -> Metric:
        """What scores its predictions against its references."""

    def baselines(self, examples: Sequence[Any]) -> dict[str, dict[str, float]]:
        """What the metrics of answers that need no model are, by their names ("chance"), in percent."""
        return {}

    def intervals(
        self, examples: Sequence[Any], predictions: Sequence[dict[str, Any]]
    ) -> dict[str, tuple[float, float]]:
        """95 % intervals of metrics, in percent: what other examples of the same kind might have given."""
        return {}

    @abstractmethod
    def reference(self, example: Any) -> dict[str, Any]:
        """The gold answer, in the form that `metric` takes."""

    @abstractmethod
    def check_prediction(self, example: Any, line: dict[str, Any]) -> None:
        """Raise `ValueError`, one line without the guid, for what can be no prediction for `example`."""

    # ---- model -------------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, backbone: Any) -> PreTrainedModel:
        """A model with a new head for this task around `backbone` (`xpt.finetune.backbone.Backbone`)."""
