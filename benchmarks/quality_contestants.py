"""The trainings whose time benchmarks/time_to_quality.py takes, and the clock that scores them."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

import torch
from contestants import phase_trainer
from transformers import (
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    RobertaForMaskedLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from xpt.program.interrupts import StopRequest
from xpt.recipe.command_line import read_recipe
from xpt.recipe.recipe import Recipe
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining
from xpt.run.preparation import PreparedText, prepare_model, prepare_text
from xpt.text.tokenizer import save_tokenizer
from xpt.training.evaluation import evaluate_mlm
from xpt.transplant.native_model import to_native
from xpt.transplant.source import open_source

DEMO = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"
# The source as it is: all of its layers and nothing else, with new embeddings that know nothing.
WHOLE_SOURCE = (
    *("--num_itl_in", "0", "--num_itl_out", "0", "--embedding_init", "random"),
    *("--output_bias_init", "zero"),
)


def demo_recipe(asked: dict[str, Any], folder: str, *flags: str) -> Recipe:
    """The demo's recipe with a cache and a run folder of its own."""
    folder = f"{asked['workdir']}/{folder}"
    return read_recipe(
        [
            *(str(DEMO), "--seed", str(asked["seed"])),
            *("--validation_sentences", str(asked["validation_sentences"])),
            *("--cache_dir", f"{folder}/cache", "--output_dir", f"{folder}/run", *flags),
        ]
    )


class Clock(TrainerCallback):
    """Scores the model every so many seconds of training and tells the parent; ends when it is good enough.

    Seconds count from the start of the process on; in those of scoring the clock stands still.

    Args:
        asked: the benchmark's arguments, and `started`, seconds since the epoch.
        text: whose validation split is scored.
        out: where scores are told, a line of JSON each.
        given: seconds that what the contestant is given took in this process.
    """

    def __init__(self, asked: dict[str, Any], text: PreparedText, out: TextIO, given: float = 0.0):
        self.asked, self.text, self.out, self.excepted = asked, text, out, given
        self.steps, self.scored_at, self.ended = 0, 0.0, False

    @property
    def seconds(self) -> float:
        """What counts of the time that has gone by."""
        return time.time() - self.asked["started"] - self.excepted

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.steps, now = self.steps + 1, self.seconds
        if self.steps > 1 and now - self.scored_at < self.asked["every"]:
            return
        scored = evaluate_mlm(
            model,
            self.text.held_out["validation"],
            self.text.log_probs,
            autocast_dtype=torch.bfloat16 if args.bf16 else None,
        )
        self.scored_at, self.excepted = now, self.excepted + self.seconds - now
        nats = float(scored.unigram_loss or 0.0) - scored.loss
        told = {"seconds": now, "steps": self.steps, "eval_loss": scored.loss, "nats_under_unigram": nats}
        print(json.dumps(told), file=self.out, flush=True)
        self.ended = nats >= self.asked["target"] or now > 60 * self.asked["max_minutes"]
        control.should_training_stop |= self.ended


def ours(asked: dict[str, Any], out: TextIO) -> None:
    """As `train_xpt.py` prepares and trains, from nothing."""
    recipe = demo_recipe(asked, "ours", *asked["flags"])
    source = open_source(str(recipe.source.source_model_name_or_path))
    text = prepare_text(recipe, source)
    model, report = prepare_model(recipe, source, text)
    phases, clock = recipe.planned_phases(report), Clock(asked, text, out)
    with closing(Run(Path(str(recipe.training.output_dir)), False)) as run:
        training = PostTraining(recipe, run, model, report, text, phases, StopRequest())
        for index, phase in enumerate(phases):
            training.prepare(phase)
            trainer = phase_trainer(training, index, clock)
            with training.training_conditions():
                trainer.train()
            if clock.ended:
                return


def stock(asked: dict[str, Any], out: TextIO) -> None:
    """As `run_mlm.py --bf16`: tokenize, group to full rows, train; with what `given_to_stock` has left."""
    from datasets import Dataset, disable_progress_bars  # ours does not pay for its import

    start, given = time.time(), Path(asked["workdir"]) / "given"
    recipe = stock_recipe(asked)
    text = prepare_text(recipe, open_source(str(recipe.source.source_model_name_or_path)))
    clock = Clock(asked, text, out, given=time.time() - start)
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(given)
    length, threads = recipe.phases.max_seq_length, os.cpu_count()
    lines = Dataset.from_text(str(given / "train.txt"), cache_dir=str(given / "datasets"))
    encoded = lines.map(
        lambda batch: tokenizer(batch["text"], return_special_tokens_mask=True),
        batched=True,
        num_proc=threads,
        remove_columns=["text"],
    )

    def group(batch: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        flat = {name: [value for row in rows for value in row] for name, rows in batch.items()}
        full = len(flat["input_ids"]) // length * length
        return {
            name: [values[at : at + length] for at in range(0, full, length)] for name, values in flat.items()
        }

    rows = encoded.map(group, batched=True, num_proc=threads)
    arguments = TrainingArguments(
        str(given / "run"),
        per_device_train_batch_size=asked["rows"],
        max_steps=asked["steps"],
        learning_rate=asked["learning_rate"],
        warmup_steps=asked["warmup_steps"],
        bf16=True,
        use_cpu=recipe.training.use_cpu,
        seed=asked["seed"],
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    masking = DataCollatorForLanguageModeling(tokenizer, mlm_probability=asked["mlm_probability"])
    model = RobertaForMaskedLM.from_pretrained(given)
    trainer = Trainer(model, arguments, masking, rows, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def stock_recipe(asked: dict[str, Any]) -> Recipe:
    """What makes the stock model: the source with new random embeddings."""
    recipe = demo_recipe(asked, "given", *WHOLE_SOURCE)
    recipe.source.source_num_layers = None
    return recipe


def given_to_stock(asked: dict[str, Any]) -> None:
    """Leave tokenizer, clean sentences and model at step 0 for `stock`, before its clock runs."""
    recipe, folder = stock_recipe(asked), Path(asked["workdir"]) / "given"
    source = open_source(str(recipe.source.source_model_name_or_path))
    text = prepare_text(recipe, source)
    to_native(prepare_model(recipe, source, text)[0]).save_pretrained(folder)
    save_tokenizer(text.tokenizer, folder)
    with open(folder / "train.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{sentence}\n" for sentence in text.corpus.split("train"))


CONTESTANTS: dict[str, Callable[[dict[str, Any], TextIO], None]] = {"ours": ours, "stock": stock}

if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    scores = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # on standard output scores stand alone
    CONTESTANTS[told["contestant"]](told, scores)
