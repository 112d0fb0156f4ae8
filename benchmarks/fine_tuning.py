"""Fine-tuning on KLUE against the stock Trainer: real tokens a second, at equal model, examples and machine.

    python benchmarks/fine_tuning.py --model_name_or_path output/demo --data_dir klue-v1.1 --task nli

The Trainer reads pairs and labels as `run_glue.py` does: padded to the longest of a batch, lengths grouped,
or to one length; in float32, its default, and in bfloat16.
"""

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "benchmarks")]
from records import record, store  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback  # noqa: E402
from turns import Windows, compare, compete, take_turns  # noqa: E402

from xpt.finetune.backbone import open_backbone  # noqa: E402
from xpt.finetune.command import read_plan  # noqa: E402
from xpt.finetune.fine_tuning import FineTuning  # noqa: E402
from xpt.finetune.plan import Plan  # noqa: E402
from xpt.finetune.rows import ShuffledRows  # noqa: E402
from xpt.finetune.weight_files import find_weights  # noqa: E402
from xpt.program.interrupts import StopRequest  # noqa: E402
from xpt.program.options import OptionParser  # noqa: E402
from xpt.program.script import run_program  # noqa: E402
from xpt.program.settings import option  # noqa: E402
from xpt.run.folder import Run  # noqa: E402
from xpt.training.fast.path import fast_path  # noqa: E402

REFERENCE = "Trainer, lengths grouped, float32"
FOREVER = 100_000
SEED = 0


@dataclass
class Arguments:
    """What is measured."""

    model_name_or_path: str | None = option(None, "Checkpoint. Default: none, it must be given.")
    data_dir: str | None = option(None, "Folder of the official release. Default: the Hub's data.")
    task: str = option("nli", "A task of one label a sequence.", choices=["nli", "ynat"])
    rounds: int = option(6, "Turns of each contestant, after a warm-up.")
    steps: int = option(10, "Steps of a turn.")
    store: bool = option(False, "Keep the result in benchmarks/results.")


def plan_of(asked: dict[str, Any]) -> Plan:
    """The command of finetune_klue.py that is measured."""
    data = ["--data_dir", asked["data_dir"]] if asked["data_dir"] else []
    return read_plan(
        [
            *("--model_name_or_path", asked["model_name_or_path"], "--task", asked["task"], *data),
            *("--output_dir", asked["workdir"], "--seed", str(SEED), "--num_train_epochs", "1000"),
            *("--max_validation_examples", "10"),
        ]
    )


def ours(asked: dict[str, Any], windows: Windows) -> None:
    """As `finetune_klue.py` trains."""
    plan = plan_of(asked)
    job, name = plan.jobs[0], asked["model_name_or_path"]
    task, backbone = plan.task(job.task), open_backbone(name, None)
    arguments = plan.training.for_task(task.official_settings(backbone.hidden_size), SEED, lora=False)
    with closing(Run(Path(asked["workdir"]) / "ours", False)) as run:
        splits = plan.splits(job.task)
        tuning = FineTuning(
            run, task, backbone, find_weights(name, None), splits, arguments, plan.model, StopRequest()
        )
        tuning.prepare()
        size = arguments.rows_per_step
        rows = ShuffledRows(tuning.features, FOREVER * size, size, SEED, arguments.length_grouping)
        trainer = tuning.trainer(rows)
        trainer.data_collator = windows.counting(trainer.data_collator, real_tokens)
        trainer.add_callback(windows)
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.args.logging_strategy = "no"
        with fast_path(tuning.model, arguments.device, arguments.fast_path):
            trainer.train()


def stock(asked: dict[str, Any], windows: Windows, grouped: bool, bf16: bool) -> None:
    """As `run_glue.py` trains, with as many sequences a batch."""
    plan = plan_of(asked)
    task, backbone = plan.task(asked["task"]), open_backbone(asked["model_name_or_path"], None)
    official = task.official_settings(backbone.hidden_size)
    tokenizer, length = backbone.tokenizer, official.max_seq_length
    examples = plan.splits(asked["task"])["train"].examples
    texts = [[example.first for example in examples]]
    if examples[0].second is not None:
        texts.append([example.second for example in examples])
    padding: Any = False if grouped else "max_length"
    encoded = tokenizer(*texts, truncation=True, max_length=length, padding=padding)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": task.target(example)}
        for ids, mask, example in zip(encoded["input_ids"], encoded["attention_mask"], examples, strict=True)
    ]
    model = AutoModelForSequenceClassification.from_pretrained(
        asked["model_name_or_path"], num_labels=len(task.labels)
    )
    arguments = TrainingArguments(
        str(Path(asked["workdir"]) / "stock"),
        per_device_train_batch_size=official.per_device_train_batch_size,
        max_steps=FOREVER,
        learning_rate=official.learning_rate,
        train_sampling_strategy="group_by_length" if grouped else "random",
        bf16=bf16,
        use_cpu=plan.training.use_cpu,
        seed=SEED,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    collator = windows.counting(DataCollatorWithPadding(tokenizer), real_tokens)
    trainer = Trainer(model, arguments, collator, rows, callbacks=[windows])
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def real_tokens(rows: Any, batch: dict) -> int:
    """Tokens of a batch that are no padding."""
    return int(batch["attention_mask"].sum())


CONTESTANTS: dict[str, Callable[[dict[str, Any], Windows], None]] = {
    REFERENCE: lambda asked, windows: stock(asked, windows, grouped=True, bf16=False),
    "Trainer, lengths grouped, bfloat16": lambda asked, windows: stock(asked, windows, True, True),
    "Trainer, fixed length, float32": lambda asked, windows: stock(asked, windows, False, False),
    "ours": ours,
}


def bench(arguments: Arguments) -> str:
    """Measure, keep where asked; the table."""
    with TemporaryDirectory() as folder:
        asked = {**asdict(arguments), "workdir": folder}
        reports = take_turns(Path(__file__), list(CONTESTANTS), asked, arguments.rounds, arguments.steps)
    rows = compare(reports, REFERENCE)
    if arguments.store:
        facts = {"task": arguments.task, "ratio_to": REFERENCE, "results": rows, "windows": reports}
        store(f"fine_tuning-{arguments.task}", record("fine_tuning.py", SEED, **facts))
    return "\n".join(
        f"{name:36} {row['tokens_per_second']:8,.0f} tokens/s   {row['ratio']:5.2f} "
        f"({row['ratio_slowest']:.2f}-{row['ratio_fastest']:.2f})   data wait {row['waited']:.1%}"
        for name, row in rows.items()
    )


def main() -> int:
    """Run the command line."""
    parser = OptionParser((Arguments,), "benchmarks/fine_tuning.py", __doc__)
    return run_program(lambda stop: bench(parser.read(sys.argv[1:], Path).parts[0]))


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        compete(CONTESTANTS, dict)
    else:
        sys.exit(main())
