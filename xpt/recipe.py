"""A recipe: everything that decides a run, as dataclasses read from YAML and flags alike.

Reasons for defaults stand in each field's help: "P21" is Lee et al. 2021, "RE22" the Korean relation
extraction report of 2022; "measured" means the repository holds the result.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from xpt.corpus import CorpusSettings
from xpt.embeddings import EMBEDDING_INITS
from xpt.errors import XPTError
from xpt.phases import NEW_GROUPS, Phase
from xpt.precision import resolve_bf16


def option(default: Any, help: str, **metadata: Any) -> Any:
    """A dataclass field with its help text."""
    return field(default=default, metadata={"help": help, **metadata})


@dataclass
class SourceArguments:
    """The English encoder and what is built around it."""

    source_model_name_or_path: str | None = option(
        None, "English checkpoint, Hub id or folder: RoBERTa family or BERT. P21 uses RoBERTa."
    )
    source_revision: str | None = option(None, "Branch, tag or commit of the source on the Hub.")
    source_num_layers: int | None = option(
        None, "Keep the source's first layers only. Default: all. Fewer learn more per minute on a CPU."
    )
    num_itl_in: int = option(1, "Implicit Translation Layers before the first English layer (P21: 1).")
    num_itl_out: int = option(1, "Implicit Translation Layers after the last English layer (P21: 1).")
    itl_init: Literal["random", "near_identity", "copy"] = option(
        "random",
        "Start of the ITLs: random (P21), random with small outputs, or copies of the nearest layer.",
    )
    lm_head_init: Literal["auto", "copy", "random"] = option(
        "auto", "LM-head transform: copied where the source has one (auto), always, or never (RE22)."
    )
    embedding_init: str = option(
        "random",
        "New word embeddings: random (P21), random with the source's statistics, or distributional vectors "
        "of the target text (learns most where compute is short).",
        choices=list(EMBEDDING_INITS),
    )
    output_bias_init: Literal["unigram", "zero"] = option(
        "unigram", "Output bias: log unigram frequencies of the training split, or zero (P21)."
    )


@dataclass
class CorpusArguments:
    """The target-language text."""

    corpus: list[str] | None = option(
        None, "Files, folders, globs, or a Hub data set `org/name`, `org/name:config@revision`."
    )
    corpus_weights: list[float] | None = option(
        None,
        "One number for each entry of --corpus (a file, folder, glob or Hub data set), of any sum: its share "
        "of the training sentences. None is repeated: with --train_sentences an entry that has less than its "
        "share gives all it has, and a warning says so; without, training is the largest mixture in which "
        "all shares hold. Held-out text is the same for all weights. Default: each gives all it has.",
    )
    corpus_column: str | None = option(None, "Text column of jsonl, parquet, csv, tsv and Hub data.")
    language: str = option(
        "ko",
        "ISO 639 or BCP 47 code (ko, uk, yue, sr-Latn; und for none). Sentence splitter, length limits, "
        "script check and the tokenizer's character coverage follow it.",
    )
    splitter: Literal["sentencex", "phrases", "lines"] | None = option(
        None,
        "sentencex (best of five, experiments/splitters), phrases (at spaces, about 80 characters each) or "
        "lines (text of one sentence a line). Default: phrases for Thai, Lao, Khmer and Tibetan script, "
        "whose sentences end without a mark or with one unknown to sentencex; else sentencex.",
    )
    min_characters: int | None = option(
        None,
        "Shorter sentences are dropped: headings, exclamations. Default: 10; 7 in Chinese, which takes 0.7 "
        "characters for one of Korean (experiments/languages).",
    )
    max_characters: int | None = option(
        None,
        "Longer sentences are dropped: lists, tables. Default: 1000 in Korean and Japanese, 700 in Chinese, "
        "1800 in alphabets, by the same measure.",
    )
    min_script_share: float = option(
        0.25,
        "Least share of letters of the language's script among a sentence's characters; 0 keeps all. A "
        "quarter keeps Korean that quotes English names.",
    )
    split_by: Literal["sentence", "document"] = option(
        "sentence", "What is held out: sentences (RE22) or, for text full of boilerplate, documents."
    )
    split_seed: int = option(
        0, "Seed of the split; its own, so that runs with another --seed share the test set."
    )
    train_sentences: int | None = option(
        None, "Keep this many training sentences (nested: 40K in 400K in 4M)."
    )
    validation_sentences: int | None = option(None, "Keep this many validation sentences (RE22: 100,000).")
    test_sentences: int | None = option(None, "Keep this many test sentences (RE22: 88,000).")
    attribution: str | None = option(None, "Who made the text and its license, for the model card.")

    def __post_init__(self) -> None:
        if self.corpus:
            self.settings()  # a mistake is found before a source is opened

    def settings(self) -> CorpusSettings:
        """The same in the words of the corpus room. Raises `XPTError` for what it cannot use."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del values["attribution"]
        return CorpusSettings(column=values.pop("corpus_column"), **{**values, "corpus": self.corpus or ()})


@dataclass
class TokenizerArguments:
    """The target-language vocabulary."""

    tokenizer_name_or_path: str | None = option(
        None, "A ready tokenizer, Hub id or folder. Absent: train one."
    )
    vocab_size: int = option(
        32_000, "Pieces of a trained tokenizer, special ones included (P21: not published)."
    )
    tokenizer_model_type: Literal["unigram", "bpe"] = option(
        "unigram", "SentencePiece model of a trained one."
    )
    tokenizer_sentences: int | None = option(
        1_000_000, "Training sentences that a trained one is made from, a seeded sample."
    )


@dataclass
class PhaseArguments:
    """The phases of post-training."""

    preset: Literal["xpt2021", "xpt2022_re"] | None = option(
        None, "A published reading of the method as defaults; the recipe and flags override it."
    )
    phase1_steps: int = option(
        30_000, "Steps with the English layers frozen. RE22: 60K in all; split not published."
    )
    phase2_steps: int = option(30_000, "Steps with everything trained.")
    phase1_learning_rate: float | None = option(None, "Default: --learning_rate.")
    phase2_learning_rate: float | None = option(None, "Default: --learning_rate.")
    phase1_mlm_probability: float = option(
        0.15, "Share of tokens masked in phase 1 (BERT and RoBERTa: 0.15)."
    )
    phase2_mlm_probability: float = option(0.15, "Share of tokens masked in phase 2.")
    phases: str | None = option(
        None,
        "Any other list of phases, in a recipe as YAML: name, train (groups), steps, learning_rate, "
        "warmup_steps, lr_scheduler_type, mlm_probability. Replaces the two.",
    )
    frozen_dropout: bool = option(True, "Dropout stays on in frozen layers (not published; stock behavior).")
    max_seq_length: int = option(128, "Tokens of a row, `<s>` and `</s>` included; longer sentences are cut.")
    packing: bool = option(
        True, "Several sentences share a row without seeing each other: no padding to compute."
    )
    cache_dir: str | None = option(None, "Prepared text and ids. Default: $XPT_CACHE or ~/.cache/xpt.")
    num_fills: int = option(3, "Held-out sentences whose masked word is filled before and after training.")


@dataclass
class XPTTrainingArguments(TrainingArguments):
    """transformers' training arguments; only the defaults below differ."""

    output_dir: str | None = option(None, "The run's folder; started again, the run goes on from here.")
    learning_rate: float = option(1e-4, "Peak learning rate of both phases (RE22).")
    warmup_steps: float = option(0.06, "Steps, or below 1 the share of a phase (RoBERTa: 0.06).")
    weight_decay: float = option(0.01, "Weight decay of matrices (RoBERTa).")
    adam_beta2: float = option(0.98, "RoBERTa's value; steadier at large batches.")
    adam_epsilon: float = option(1e-6, "RoBERTa's value.")
    per_device_train_batch_size: int = option(32, "Rows a device and micro-batch. RE22: 256 in all.")
    bf16: bool | None = option(None, "bfloat16 autocast. Default: where the hardware has it.")
    logging_steps: float = option(50, "Steps between log lines.")
    save_steps: float = option(500, "Steps between checkpoints.")
    save_total_limit: int | None = option(2, "Checkpoints kept in each phase.")
    ddp_timeout: int = option(86_400, "Seconds that processes wait while the first one prepares the text.")

    def __post_init__(self) -> None:
        # Without an accelerator the stock class refuses bf16 unless told that the CPU is meant.
        self.use_cpu: bool = self.use_cpu or not torch.accelerator.is_available()
        self.bf16 = resolve_bf16(self.bf16, self.use_cpu) if not self.fp16 else False
        super().__post_init__()


PRESETS: dict[str, dict[str, Any]] = {
    # The reading of P21 that method notes and bilingual quotes agree on; batch, rate and steps from RE22.
    "xpt2021": {
        "itl_init": "random",
        "embedding_init": "random",
        "output_bias_init": "zero",
        "lm_head_init": "auto",
        "frozen_dropout": True,
        "packing": False,
        "per_device_train_batch_size": 256,
        "learning_rate": 1e-4,
        "phase1_steps": 30_000,
        "phase2_steps": 30_000,
    },
    # RE22 says that the output layer starts at random and learns in phase 1.
    "xpt2022_re": {
        "itl_init": "random",
        "embedding_init": "random",
        "output_bias_init": "zero",
        "lm_head_init": "random",
        "frozen_dropout": True,
        "packing": False,
        "train_sentences": 4_000_000,
        "validation_sentences": 100_000,
        "test_sentences": 88_000,
        "per_device_train_batch_size": 256,
        "learning_rate": 1e-4,
        "phase1_steps": 30_000,
        "phase2_steps": 30_000,
    },
}


@dataclass(frozen=True)
class Recipe:
    """All arguments of a run."""

    source: SourceArguments
    corpus: CorpusArguments
    tokenizer: TokenizerArguments
    phases: PhaseArguments
    training: XPTTrainingArguments
    phase_list: list[dict[str, Any]] | None = None

    def planned_phases(self, lm_head_transform_is_new: bool) -> list[Phase]:
        """The phases in order. Raises `XPTError` for one that cannot train.

        The LM-head transform learns in phase 1 where it is new, and stays frozen where it was copied.
        """
        arguments, training = self.phases, self.training
        scheduler = getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)
        shared: dict[str, Any] = {"warmup_steps": training.warmup_steps, "lr_scheduler_type": scheduler}
        if self.phase_list is not None:
            defaults = {**shared, "learning_rate": training.learning_rate}
            planned = [Phase.from_dict(values, defaults) for values in self.phase_list]
            names = [phase.name for phase in planned]
            if not planned or len(set(names)) < len(names):
                raise XPTError(f"phases: give each of at least one phase a name of its own; found {names}")
            return planned
        new: tuple[str, ...] = NEW_GROUPS
        if lm_head_transform_is_new:
            new = (*new, "lm_head_transform")
        if self.source.num_itl_in + self.source.num_itl_out == 0:
            new = tuple(group for group in new if group != "itl")
        planned = []
        for name, train in (("phase1", new), ("phase2", ("all",))):
            steps, rate, probability = (
                getattr(arguments, f"{name}_{what}") for what in ("steps", "learning_rate", "mlm_probability")
            )
            if steps:
                rate = training.learning_rate if rate is None else rate
                planned.append(Phase(name, train, steps, rate, mlm_probability=probability, **shared))
        for phase in planned:
            phase.check()
        if not planned:
            raise XPTError("nothing to train: both --phase1_steps and --phase2_steps are 0")
        return planned

    def settings(self) -> dict[str, Any]:
        """Every setting by name, in plain JSON types, secrets left out."""
        found: dict[str, Any] = {}
        for part in (self.source, self.corpus, self.tokenizer, self.phases):
            found |= {entry.name: getattr(part, entry.name) for entry in fields(part)}
        training = self.training.to_dict()
        found |= {name: value for name, value in training.items() if not name.endswith("_token")}
        found["phases"] = self.phase_list
        # Which rows a step reads depends on how many processes share it.
        found |= {"world_size": self.training.world_size, "n_gpu": self.training.n_gpu}
        return found
