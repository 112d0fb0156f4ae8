"""The trainings that benchmarks/throughput.py lets run against each other."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import torch
from equal_tokens import AtTheEnd
from flops import Shape, matrix_rate
from transformers import (
    DataCollatorForLanguageModeling,
    RobertaConfig,
    RobertaModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from turns import Watch, Windows, compete

from modeling_xpt import XPTRobertaForMaskedLM
from xpt.program.interrupts import StopRequest
from xpt.recipe.command_line import read_recipe
from xpt.recipe.recipe import Recipe
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining
from xpt.run.preparation import PreparedText, prepare_model, prepare_text
from xpt.text.reading import PhaseRows
from xpt.training.fast.path import PARTS, fast_path
from xpt.training.trainer import XPTTrainer, phase_arguments
from xpt.transplant.native_model import to_native
from xpt.transplant.source import open_source

ITLS = 2
FOREVER = 100_000
WARMUP = 0.06  # of the steps
SIZES = {"tiny": (2, 64), "mini": (6, 384), "base": (12, 768), "large": (24, 1024)}  # English layers, width
HEAD_SIZE = {"tiny": 16, "mini": 32, "base": 64, "large": 64}


@dataclass(frozen=True)
class Setting:
    """What all contestants share."""

    model: str
    corpus: tuple[str, ...]
    column: str | None
    tokenizer: str
    workdir: Path
    rows: int
    length: int
    seed: int
    sentences: int | None = None  # of a batch of stock, line by line; None: as many as rows
    source: str | None = None  # None: one of this shape that has read nothing
    tokens: int | None = None  # real ones that a training reads; None: it goes on for ever
    learning_rate: float = 1e-4
    flags: tuple[str, ...] = ()  # more for train_xpt.py

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "Setting":
        """From what `asdict` made of it, by way of JSON."""
        tuples = {name: tuple(values[name]) for name in ("corpus", "flags")}
        return cls(**{**values, **tuples, "workdir": Path(values["workdir"])})

    @property
    def english_layers(self) -> int:
        """Layers of the source."""
        return self.recipe().source.source_num_layers or SIZES[self.model][0]

    def steps(self, tokens_a_step: float) -> int:
        """Of a training."""
        return FOREVER if self.tokens is None else max(1, round(self.tokens / tokens_a_step))

    def shape(self, vocab_size: int, frozen: int = 0) -> Shape:
        """The model in numbers."""
        hidden = SIZES[self.model][1]
        return Shape(self.english_layers + ITLS, hidden, vocab_size, self.length, 0.15, frozen)

    def config(self) -> RobertaConfig:
        """A source of this size."""
        layers, hidden = SIZES[self.model]
        return RobertaConfig(
            vocab_size=1000,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // HEAD_SIZE[self.model],
            intermediate_size=4 * hidden,
            max_position_embeddings=514,
            type_vocab_size=1,
        )

    def recipe(self, *flags: str) -> Recipe:
        """The recipe of our runs, with the optimizer of the stock Trainer."""
        source = Path(self.source or self.workdir / "source")
        if self.source is None and not source.exists():
            set_seed(0)
            RobertaModel(self.config()).save_pretrained(source)
        given = [
            *("--source_model_name_or_path", str(source), "--corpus", *self.corpus),
            *(() if "--vocab_size" in self.flags else ("--tokenizer_name_or_path", self.tokenizer)),
            *("--split_by", "document"),
            *("--validation_sentences", "1000", "--test_sentences", "100"),
            *("--cache_dir", str(self.workdir / "cache"), "--output_dir", str(self.workdir / "run")),
            *("--max_seq_length", str(self.length), "--per_device_train_batch_size", str(self.rows)),
            *("--phase1_steps", str(FOREVER), "--phase2_steps", str(FOREVER)),
            *("--learning_rate", str(self.learning_rate), "--warmup_steps", str(WARMUP)),
            *("--adam_beta2", "0.999", "--adam_epsilon", "1e-8", "--weight_decay", "0"),
            *("--seed", str(self.seed), *self.flags),
            *(("--corpus_column", self.column) if self.column else ()),
        ]
        return read_recipe([*given, *flags])

    def text(self) -> PreparedText:
        """The text that all read, prepared once."""
        recipe = self.recipe()
        return prepare_text(recipe, open_source(recipe.source.source_model_name_or_path))

    def prepared(self, recipe: Recipe) -> tuple[PreparedText, XPTRobertaForMaskedLM, dict[str, Any]]:
        """The text, and the model that all begin with; the source is let go, as by `train_xpt.py`."""
        source = open_source(recipe.source.source_model_name_or_path)
        text = prepare_text(recipe, source)
        return text, *prepare_model(recipe, source, text)

    def watch(self, out: TextIO) -> Watch:
        """Windows of a training without end, or the score of one with."""
        return Windows(out) if self.tokens is None else AtTheEnd(out, self.text())


# ---- transformers as it comes ----------------------------------------------------------------------------


def stock(setting: Setting, watch: Watch, best_flags: bool) -> None:
    """As `run_mlm.py`: line by line in float32, or grouped texts in bfloat16; both with a fused optimizer."""
    text, model, _ = setting.prepared(setting.recipe())
    set_seed(setting.seed)
    examples = grouped(text, setting) if best_flags else lines(text, setting)
    batch = setting.rows if best_flags else setting.sentences or setting.rows
    mean = sum(len(row["input_ids"]) for row in examples) / len(examples)
    masking = DataCollatorForLanguageModeling(text.tokenizer, mlm_probability=0.15)
    arguments = TrainingArguments(
        str(setting.workdir / "stock"),
        per_device_train_batch_size=batch,
        max_steps=setting.steps(batch * mean),
        learning_rate=setting.learning_rate,
        warmup_steps=WARMUP,
        bf16=best_flags,
        use_cpu=not torch.cuda.is_available(),
        seed=setting.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    collator = watch.counting(masking, lambda rows, batch: int(batch["attention_mask"].sum()))
    trainer = Trainer(to_native(model), arguments, collator, examples, callbacks=[watch])
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def lines(text: PreparedText, setting: Setting) -> list[dict[str, list[int]]]:
    """A sentence an example, cut at the length of a row."""
    bos, eos, ids = text.special.bos, text.special.eos, text.train.sentences
    rows = [[bos, *ids[index][: setting.length - 2].tolist(), eos] for index in range(min(len(ids), 200_000))]
    return [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]


def grouped(text: PreparedText, setting: Setting) -> list[dict[str, list[int]]]:
    """All sentences behind one another, cut into full rows."""
    flat = [token for row in lines(text, setting) for token in row["input_ids"]]
    starts = range(0, len(flat) - setting.length, setting.length)
    return [
        {"input_ids": flat[start : start + setting.length], "attention_mask": [1] * setting.length}
        for start in starts
    ]


# ---- ours ------------------------------------------------------------------------------------------------


def ours(
    setting: Setting,
    watch: Watch,
    phase: int,
    flags: tuple[str, ...] = (),
    parts: tuple[str, ...] = PARTS,
    sparse: bool = True,
) -> None:
    """A phase of post-training as `train_xpt.py` runs it."""
    recipe = setting.recipe(*flags)
    text, model, report = setting.prepared(recipe)
    with closing(Run(setting.workdir / f"run-{os.getpid()}", False)) as run:
        rows = text.train.rows(recipe.phases.packing, setting.seed)
        steps = setting.steps(setting.rows * rows.tokens_in_epoch / rows.rows_in_epoch)
        phases = [replace(one, steps=steps) for one in recipe.planned_phases(report)]
        training = PostTraining(recipe, run, model, report, text, phases, StopRequest())
        model.config.sparse_prediction = sparse
        training.prepare(phases[phase - 1])
        trainer = phase_trainer(training, phase - 1, watch)
        trainer.data_collator = watch.counting(trainer.data_collator, lambda rows, batch: _real(text, rows))
        with without_parts(training, parts):
            trainer.train()


def phase_trainer(training: PostTraining, index: int, callback: TrainerCallback) -> XPTTrainer:
    """The Trainer of a phase, which `callback` alone watches; it leaves nothing on disk."""
    phase, data = training.phases[index], training.phase_data(index)
    trainer = XPTTrainer(
        model=training.model,
        args=phase_arguments(training.recipe.training, phase, index, training.run.folder),
        phase=phase,
        data=data,
        checkpoints=training.run.checkpoints,
        stop=training.stop,
        train_dataset=PhaseRows(data.reading, phase.steps, training.rows_per_step),
        callbacks=[callback],
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    trainer.args.logging_strategy = trainer.args.save_strategy = "no"
    return trainer


@contextmanager
def without_parts(training: PostTraining, parts: tuple[str, ...]) -> Iterator[None]:
    """Training's conditions, with some parts of the fast path alone."""
    settings = training.recipe.training
    enabled, settings.fast_path = settings.fast_path, False
    with training.training_conditions(), fast_path(training.model, settings.device, enabled, parts):
        yield


def _real(text: PreparedText, rows: Any) -> int:
    return sum(int(text.train.lengths[row.examples].sum()) for row in rows)


# ---- the matrices alone ----------------------------------------------------------------------------------


def matrices(setting: Setting, watch: Watch, dtype: torch.dtype) -> None:
    """The products of phase 2, at every line on standard input."""
    shape = setting.shape(len(setting.text().tokenizer))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    while watch.asked():
        watch.tell({"rate": matrix_rate(shape, setting.rows, dtype, device)})


CONTESTANTS: dict[str, Callable[[Setting, Watch], None]] = {
    "stock, line by line": lambda setting, watch: stock(setting, watch, best_flags=False),
    "stock, best flags": lambda setting, watch: stock(setting, watch, best_flags=True),
    "ours, phase 1": lambda setting, watch: ours(setting, watch, 1),
    "ours, phase 2": lambda setting, watch: ours(setting, watch, 2),
    "matrices": lambda setting, watch: matrices(setting, watch, torch.bfloat16),
}
ABLATIONS: dict[str, Callable[[Setting, Watch], None]] = {
    "whole": lambda setting, watch: ours(setting, watch, 2),
    **{
        f"without {part}": lambda setting, watch, part=part: ours(
            setting, watch, 2, parts=tuple(one for one in PARTS if one != part)
        )
        for part in PARTS
    },
    "without the fast path": lambda setting, watch: ours(setting, watch, 2, ("--fast_path", "false")),
    "full head": lambda setting, watch: ours(setting, watch, 2, sparse=False),
    "without packing": lambda setting, watch: ours(setting, watch, 2, ("--packing", "false")),
    "float32": lambda setting, watch: ours(setting, watch, 2, ("--bf16", "false")),
    "phase 1": lambda setting, watch: ours(setting, watch, 1),
    "phase 1, frozen layers drop too": lambda setting, watch: ours(
        setting, watch, 1, ("--frozen_dropout", "true")
    ),
}


if __name__ == "__main__":
    compete({**CONTESTANTS, **ABLATIONS}, Setting.of_json, Setting.watch)
