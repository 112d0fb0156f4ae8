"""The trainings that benchmarks/throughput.py lets run against each other."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from flops import Shape, matrix_rate
from transformers import (
    DataCollatorForLanguageModeling,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from turns import Windows, compete

from xpt.batching import PhaseRows
from xpt.cli import read_recipe
from xpt.fast.path import PARTS, fast_path
from xpt.interrupts import StopRequest
from xpt.post_training import PostTraining
from xpt.preparation import PreparedText, prepare_model, prepare_text
from xpt.recipe import Recipe
from xpt.run import Run
from xpt.source import open_source
from xpt.trainer import XPTTrainer, phase_arguments

ITLS = 2
FOREVER = 100_000
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

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "Setting":
        """From what `asdict` made of it, by way of JSON."""
        return cls(**{**values, "workdir": Path(values["workdir"]), "corpus": tuple(values["corpus"])})

    @property
    def english_layers(self) -> int:
        """Layers of the source."""
        return SIZES[self.model][0]

    def shape(self, vocab_size: int, frozen: int = 0) -> Shape:
        """The model in numbers."""
        layers, hidden = SIZES[self.model]
        return Shape(layers + ITLS, hidden, vocab_size, self.length, 0.15, frozen)

    def config(self, layers: int, vocab_size: int) -> RobertaConfig:
        """A stock RoBERTa of this size."""
        hidden = SIZES[self.model][1]
        return RobertaConfig(
            vocab_size=vocab_size,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // HEAD_SIZE[self.model],
            intermediate_size=4 * hidden,
            max_position_embeddings=514,
            type_vocab_size=1,
        )

    def recipe(self, *flags: str) -> Recipe:
        """The recipe of our runs; the source has the same shape and has read nothing."""
        source = self.workdir / "source"
        if not source.exists():
            set_seed(0)
            RobertaModel(self.config(self.english_layers, 1000)).save_pretrained(source)
        given = [
            *("--source_model_name_or_path", str(source), "--corpus", *self.corpus),
            *("--tokenizer_name_or_path", self.tokenizer, "--split_by", "document"),
            *("--validation_sentences", "500", "--test_sentences", "100"),
            *("--cache_dir", str(self.workdir / "cache"), "--output_dir", str(self.workdir / "run")),
            *("--max_seq_length", str(self.length), "--per_device_train_batch_size", str(self.rows)),
            *("--phase1_steps", str(FOREVER), "--phase2_steps", str(FOREVER), "--seed", str(self.seed)),
            *(("--corpus_column", self.column) if self.column else ()),
        ]
        return read_recipe([*given, *flags])

    def text(self) -> PreparedText:
        """The text that all read, prepared once."""
        recipe = self.recipe()
        return prepare_text(recipe, open_source(recipe.source.source_model_name_or_path))


# ---- transformers as it comes ----------------------------------------------------------------------------


def stock(setting: Setting, windows: Windows, best_flags: bool) -> None:
    """As `run_mlm.py`: line by line in float32, or grouped texts in bfloat16; both with a fused optimizer."""
    text = setting.text()
    set_seed(setting.seed)
    model = RobertaForMaskedLM(setting.config(setting.english_layers + ITLS, len(text.tokenizer)))
    examples = grouped(text, setting) if best_flags else lines(text, setting)
    masking = DataCollatorForLanguageModeling(text.tokenizer, mlm_probability=0.15)
    arguments = TrainingArguments(
        str(setting.workdir / "stock"),
        per_device_train_batch_size=setting.rows,
        max_steps=FOREVER,
        learning_rate=1e-4,
        bf16=best_flags,
        use_cpu=not torch.cuda.is_available(),
        seed=setting.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    collator = windows.counting(masking, lambda rows, batch: int(batch["attention_mask"].sum()))
    trainer = Trainer(model, arguments, data_collator=collator, train_dataset=examples, callbacks=[windows])
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
    windows: Windows,
    phase: int,
    flags: tuple[str, ...] = (),
    parts: tuple[str, ...] = PARTS,
    sparse: bool = True,
) -> None:
    """A phase of post-training as `train_xpt.py` runs it."""
    recipe = setting.recipe(*flags)
    source = open_source(recipe.source.source_model_name_or_path)
    text = prepare_text(recipe, source)
    model, report = prepare_model(recipe, source, text)
    del source  # as `train_xpt.py` does
    with closing(Run(setting.workdir / f"run-{os.getpid()}", False)) as run:
        phases = recipe.planned_phases(report)
        training = PostTraining(recipe, run, model, report, text, phases, StopRequest())
        model.config.sparse_prediction = sparse
        training.prepare(phases[phase - 1])
        trainer = phase_trainer(training, phase - 1, windows)
        trainer.data_collator = windows.counting(trainer.data_collator, lambda rows, batch: _real(text, rows))
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
        train_dataset=PhaseRows(data.stream, data.first_row, phase.steps * training.rows_per_step),
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


def matrices(setting: Setting, windows: Windows, dtype: torch.dtype) -> None:
    """The products of phase 2, at every line on standard input."""
    shape = setting.shape(len(setting.text().tokenizer))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    while windows.asked():
        windows.tell({"rate": matrix_rate(shape, setting.rows, dtype, device)})


CONTESTANTS: dict[str, Callable[[Setting, Windows], None]] = {
    "stock, line by line": lambda setting, windows: stock(setting, windows, best_flags=False),
    "stock, best flags": lambda setting, windows: stock(setting, windows, best_flags=True),
    "ours, phase 1": lambda setting, windows: ours(setting, windows, 1),
    "ours, phase 2": lambda setting, windows: ours(setting, windows, 2),
    "matrices": lambda setting, windows: matrices(setting, windows, torch.bfloat16),
}
ABLATIONS: dict[str, Callable[[Setting, Windows], None]] = {
    "whole": lambda setting, windows: ours(setting, windows, 2),
    **{
        f"without {part}": lambda setting, windows, part=part: ours(
            setting, windows, 2, parts=tuple(one for one in PARTS if one != part)
        )
        for part in PARTS
    },
    "without the fast path": lambda setting, windows: ours(setting, windows, 2, ("--fast_path", "false")),
    "full head": lambda setting, windows: ours(setting, windows, 2, sparse=False),
    "without packing": lambda setting, windows: ours(setting, windows, 2, ("--packing", "false")),
    "float32": lambda setting, windows: ours(setting, windows, 2, ("--bf16", "false")),
    "phase 1": lambda setting, windows: ours(setting, windows, 1),
    "phase 1, frozen layers drop too": lambda setting, windows: ours(
        setting, windows, 1, ("--frozen_dropout", "true")
    ),
}


if __name__ == "__main__":
    compete({**CONTESTANTS, **ABLATIONS}, Setting.of_json)
