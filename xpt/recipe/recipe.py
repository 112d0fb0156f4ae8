"""A recipe: everything that decides a run, as dataclasses read from YAML and flags alike.

Reasons for defaults stand in each field's help: "P21" is Lee et al. 2021, "RE22" the Korean relation
extraction report of 2022; "measured" means the repository holds the result.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from transformers import IntervalStrategy, SchedulerType

from xpt.program.errors import XPTError
from xpt.program.options import option
from xpt.text.corpus import CorpusSettings
from xpt.text.shards.credentials import check_place
from xpt.training.arguments import HubArguments
from xpt.training.phases import Parts, Phase, read_phase
from xpt.transplant.embeddings import EMBEDDING_INITS


@dataclass
class SourceArguments:
    """Source: the English encoder, and what is built around it."""

    source_model_name_or_path: str | None = option(
        None,
        "English encoder, Hub id or folder (the README lists families; P21: RoBERTa), or an XPT checkpoint, "
        "which is trained further. Default: none, it must be given.",
    )
    source_revision: str | None = option(
        None, "Branch, tag or commit of the source on the Hub. Default: its newest."
    )
    source_num_layers: int | None = option(
        None, "Keep the source's first layers only. Default: all. Fewer learn more per minute on a CPU."
    )
    layers_init: Literal["copy", "random"] = option(
        "copy", "random: the control that takes the source's shape and copies nothing of it."
    )
    num_itl_in: int | None = option(
        None,
        "Implicit Translation Layers before the first English layer. Default: 1 (P21), or an XPT source's.",
    )
    num_itl_out: int | None = option(
        None, "Implicit Translation Layers after the last English layer. Default: as num_itl_in."
    )
    itl_init: Literal["auto", "random", "near_identity", "copy"] = option(
        "auto",
        "Start of the ITLs: an XPT source's own, else random (auto); random (P21); random with small "
        "outputs; or copies of the nearest layer.",
    )
    lm_head_init: Literal["auto", "copy", "random"] = option(
        "auto",
        "LM-head transform: copied where the source has one that computes the same (auto), always, or never "
        "(RE22).",
    )
    keep_vocabulary: bool | None = option(
        None,
        "Of an XPT source: keep tokenizer, word embeddings and output bias. Default: unless "
        "tokenizer_name_or_path names another tokenizer; false without one trains a new one.",
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


# What may be said of shards; all else of a corpus was decided when they were made.
OF_SHARDS = ("corpus_shards", "shard_cache_gb", "language", "attribution")


@dataclass
class CorpusArguments:
    """Text in the target language."""

    corpus: list[str] | None = option(
        None,
        "Files (text, tables, MediaWiki dumps), folders, globs, or a Hub data set `org/name`, "
        "`org/name:config@revision`.",
    )
    corpus_shards: str | None = option(
        None,
        "Instead of --corpus: a folder or URL (hf://datasets/org/name, s3://...) of shards that "
        "`python -m xpt.text.shards.prepare` made, for text too big for one disk. It brings its tokenizer, and "
        "what decides about sentences was decided when it was made (docs/scale.md).",
    )
    shard_cache_gb: float = option(
        20.0,
        "Disk for fetched shards in --cache_dir, on each machine; the least recently read ones make room.",
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
        None, "Keep this many training sentences (nested: 40K in 400K in 4M). Default: all."
    )
    validation_sentences: int | None = option(
        None, "Keep this many validation sentences (RE22: 100,000). Default: all."
    )
    test_sentences: int | None = option(None, "Keep this many test sentences (RE22: 88,000). Default: all.")
    near_duplicates: bool = option(
        False,
        "Of sentences that are nearly the same keep one, the one in training first (MinHash). P21 and RE22 "
        "removed exact repetitions only; the report says what it dropped.",
    )
    near_duplicate_threshold: float = option(
        0.8, "Share of common character trigrams (Jaccard) from which sentences are nearly the same."
    )
    attribution: str | None = option(None, "Who made the text and its license, for the model card.")

    def __post_init__(self) -> None:
        if self.corpus_shards:
            self._check_shards()
        elif self.corpus:
            self.settings()  # a mistake is found before a source is opened

    def _check_shards(self) -> None:
        if self.corpus:
            raise XPTError("--corpus and --corpus_shards: give one of them")
        check_place(str(self.corpus_shards))
        if not (math.isfinite(self.shard_cache_gb) and self.shard_cache_gb > 0):
            raise XPTError(f"--shard_cache_gb is {self.shard_cache_gb}: give a number of gigabytes above 0")
        for entry in fields(self):
            if entry.name not in OF_SHARDS and getattr(self, entry.name) != entry.default:
                raise XPTError(
                    f"--{entry.name} has no effect on --corpus_shards: it was decided when they were prepared"
                )

    def settings(self) -> CorpusSettings:
        """The same in the words of the corpus room. Raises `XPTError` for what it cannot use."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name in ("attribution", "corpus_shards", "shard_cache_gb"):
            del values[name]
        return CorpusSettings(column=values.pop("corpus_column"), **{**values, "corpus": self.corpus or ()})


@dataclass
class TokenizerArguments:
    """Tokenizer: the vocabulary of the target language."""

    tokenizer_name_or_path: str | None = option(
        None, "A ready tokenizer, Hub id or folder. Default: one is trained on the training sentences."
    )
    vocab_size: int = option(
        32_000, "Pieces of a trained tokenizer, special ones included. As in KLUE-BERT; P21 does not say."
    )
    tokenizer_model_type: Literal["unigram", "bpe"] = option(
        "unigram", "SentencePiece model of a trained one; P21 says SentencePiece, unigram is its default."
    )
    tokenizer_sentences: int | None = option(
        500_000, "Training sentences that a trained one is made from, a seeded sample: bounds its memory."
    )


@dataclass
class PhaseArguments:
    """Phases of post-training, and the rows they read."""

    phase1_steps: int = option(
        30_000, "Steps with the English layers frozen. RE22: 60K in all; split not published."
    )
    phase2_steps: int = option(30_000, "Steps with everything trained: the other half.")
    phase1_learning_rate: float | None = option(None, "Peak rate of phase 1. Default: --learning_rate.")
    phase2_learning_rate: float | None = option(None, "Peak rate of phase 2. Default: --learning_rate.")
    phase1_mlm_probability: float = option(
        0.15, "Share of tokens masked in phase 1 (BERT and RoBERTa: 0.15)."
    )
    phase2_mlm_probability: float = option(0.15, "Share of tokens masked in phase 2 (the same).")
    phases: str | None = option(
        None,
        "Another list of phases, in a recipe as YAML; see configs/methods. A phase has name, train, steps, "
        "learning_rate, warmup_steps, lr_scheduler_type, mlm_probability, lora (r, lora_alpha, lora_dropout, "
        "target_modules, merge) and unfreeze (top_down, bottom_up: one encoder layer more at a time). It "
        "trains groups: word_embeddings, source_embeddings (.position, .token_type, .norm), itl (.in, .out), "
        "encoder (.0, ..., .top2, .bottom2), lm_head_transform, lm_head_bias; new, all, lora. What phases "
        "named phase1 and phase2 leave open is given by the flags above. Default: phase1 trains new, phase2 "
        "all.",
    )
    dropout: float | None = option(
        None,
        "Share of activations dropped in training. Default: the source's own (RoBERTa: 0.1). 0 learns more "
        "and sooner where the text is read about once; the checkpoint keeps the source's for fine-tuning.",
    )
    frozen_dropout: bool = option(
        False,
        "Dropout in frozen layers too, as a stock model in training mode has it (not published; "
        "configs/methods keep it). Without, phase 1 is faster and takes less memory.",
    )
    max_seq_length: int = option(128, "Tokens of a row, `<s>` and `</s>` included; longer sentences are cut.")
    packing: bool = option(
        True, "Several sentences share a row without seeing each other: no padding to compute."
    )


@dataclass
class RunArguments(HubArguments):
    """Run folder, checkpoints and log."""

    output_dir: str | None = option(
        None,
        "The run's folder: model, card, checkpoints, results.json. Started again, the run goes on from it. "
        "Default: output/NAME of the last recipe, or output/xpt.",
    )
    dry_run: bool = option(
        False,
        "Print what would happen (counts, parameters, memory, disk, time from a few real steps) and write "
        "nothing but prepared text into the cache.",
    )
    cache_dir: str | None = option(
        None,
        "Where prepared text and ids are kept, for every run on the same text. Default: $XPT_CACHE, or "
        "~/.cache/xpt.",
    )
    preprocessing_num_workers: int | None = option(
        None,
        "Processes that clean text; 1 is none beside this one. The text that comes out is the same. Default: "
        "one for each core that this process may use, 8 at most, since reading keeps no more busy.",
    )
    save_steps: float = option(
        500, "Steps between checkpoints, or below 1 a share of the phase; a killed run loses no more."
    )
    save_total_limit: int | None = option(2, "Checkpoints kept in each phase; 2, as one may get damaged.")
    logging_steps: float = option(
        50,
        "Steps between log lines, or below 1 a share of the phase. The line's loss is the mean of these "
        "steps, so that fewer make it noisier; see log.jsonl and loss.png.",
    )
    num_fills: int = option(
        3, "Held-out sentences whose masked word is filled before and after training, for the reader's eye."
    )


@dataclass
class XPTTrainingArguments(RunArguments):
    """Training: transformers' options with the defaults of the method."""

    per_device_train_batch_size: int = option(
        32, "Rows a device and micro-batch. RE22: 256 in all; 32 suits small devices, see --dry_run."
    )
    gradient_accumulation_steps: int = option(
        1, "Micro-batches a step. 8 of 32 rows are RE22's 256; they change neither order nor masks."
    )
    learning_rate: float = option(1e-4, "Peak learning rate of both phases (RE22).")
    lr_scheduler_type: SchedulerType | str = option(
        "linear", "Course of the rate after the warm-up: down to 0 in each phase (RoBERTa)."
    )
    warmup_steps: float = option(0.06, "Steps, or below 1 the share of a phase (RoBERTa: 0.06).")
    weight_decay: float = option(0.01, "Weight decay of matrices (RoBERTa).")
    adam_beta2: float = option(0.98, "RoBERTa's value; steadier at large batches.")
    adam_epsilon: float = option(1e-6, "RoBERTa's value (stock: 1e-8).")
    max_grad_norm: float = option(1.0, "Gradients are scaled down to this norm (stock; RoBERTa: 0, off).")
    seed: int = option(42, "Of new weights, order of rows, masks and dropout (stock).")
    eval_strategy: IntervalStrategy | str = option(
        "no", "Validation loss during a phase, too; off, as both ends of each phase are always measured."
    )
    eval_steps: float | None = option(
        None, "Steps between these, or below 1 a share of the phase. Default: --logging_steps."
    )
    ddp_timeout: int = option(
        86_400, "Seconds that processes wait while the first one prepares the text (stock 1800: too few)."
    )


# The method; what each leaves open is given by the flags of its name.
TWO_PHASES: tuple[dict[str, Any], ...] = (
    {"name": "phase1", "train": "new"},
    {"name": "phase2", "train": "all"},
)
FLAG_PHASES = ("phase1", "phase2")
FLAG_ENTRIES = ("steps", "learning_rate", "mlm_probability")


@dataclass(frozen=True)
class Recipe:
    """All arguments of a run."""

    source: SourceArguments
    corpus: CorpusArguments
    tokenizer: TokenizerArguments
    phases: PhaseArguments
    training: XPTTrainingArguments
    phase_list: list[dict[str, Any]] | None = None

    def planned_phases(self, report: dict[str, Any] | None = None) -> list[Phase]:
        """The phases in order, for the model of a transplant's `report`; without, as far as they can be read.

        The LM-head transform learns in phase 1 where it is new, and stays frozen where it was copied. Raises
        `XPTError` for a phase that cannot train.
        """
        if self.phases.dropout is not None and not 0 <= self.phases.dropout < 1:
            raise XPTError(f"--dropout is {self.phases.dropout}; give a share from 0 to below 1")
        parts = Parts() if report is None else Parts.of_report(report)
        planned: list[Phase] = []
        for values in TWO_PHASES if self.phase_list is None else self.phase_list:
            defaults = self._phase_defaults(values.get("name"))
            if "steps" in values or defaults.get("steps") != 0:
                planned += read_phase(values, defaults, parts)
        names = [phase.name for phase in planned]
        if not planned:
            raise XPTError("nothing to train: there is no phase of at least one step")
        if len(set(names)) < len(names):
            raise XPTError(f"phases: give each phase a name of its own; found {', '.join(names)}")
        for phase in planned[:-1]:
            if phase.lora and not phase.lora.merge:
                raise XPTError(
                    f"phase {phase.name!r} keeps its adapters (merge: false), so that no phase can follow; "
                    "merge them, or let it be the last one"
                )
        return planned

    def _phase_defaults(self, name: Any) -> dict[str, Any]:
        """What a phase of this name takes from flags where it says nothing itself."""
        training = self.training
        scheduler = getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)
        defaults = {
            "learning_rate": training.learning_rate,
            "warmup_steps": training.warmup_steps,
            "lr_scheduler_type": scheduler,
        }
        if name in FLAG_PHASES:
            flags = {entry: getattr(self.phases, f"{name}_{entry}") for entry in FLAG_ENTRIES}
            defaults |= {entry: value for entry, value in flags.items() if value is not None}
        return defaults

    def idle_flags(self, given: Iterable[str]) -> list[str]:
        """Flags among `given` that no phase takes, because `phases:` says it itself or lacks the phase."""
        if self.phase_list is None:
            return []
        taken = {
            f"{values.get('name')}_{entry}"
            for values in self.phase_list
            for entry in FLAG_ENTRIES
            if entry not in values
        }
        flags = {f"{name}_{entry}" for name in FLAG_PHASES for entry in FLAG_ENTRIES}
        return sorted(flags.intersection(given) - taken)

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
