"""Whether memory stays flat over a long training: resident memory by step.

    python benchmarks/memory.py --data_dir klue-v1.1 --store true

Post-training and fine-tuning on NLI, of the demo's model and of mini, in float32 and in bfloat16; each case
is a process of its own. Numbers of masked tokens and lengths of batches change from step to step as in any
run; small batches make it affordable. Of post-training, what `--dry_run true` says stands beside it.
"""

import json
import os
import statistics
import subprocess
import sys
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "benchmarks")]
from contestants import Setting, phase_trainer  # noqa: E402
from records import record, store  # noqa: E402
from transformers import TrainerCallback  # noqa: E402
from transformers.trainer_callback import PrinterCallback, ProgressCallback  # noqa: E402

from xpt.finetune.backbone import open_backbone  # noqa: E402
from xpt.finetune.command import read_plan  # noqa: E402
from xpt.finetune.fine_tuning import FineTuning  # noqa: E402
from xpt.finetune.rows import ShuffledRows  # noqa: E402
from xpt.finetune.weight_files import find_weights  # noqa: E402
from xpt.program.environment import peak_memory_mib, resident_memory_mib  # noqa: E402
from xpt.program.errors import XPTError  # noqa: E402
from xpt.program.interrupts import StopRequest  # noqa: E402
from xpt.program.options import OptionParser  # noqa: E402
from xpt.program.script import run_program  # noqa: E402
from xpt.program.settings import option  # noqa: E402
from xpt.run.folder import Run  # noqa: E402
from xpt.run.post_training import PostTraining  # noqa: E402
from xpt.run.probe import probe_evaluation, probe_phase  # noqa: E402
from xpt.training.fast.path import fast_path  # noqa: E402
from xpt.training.trainer import save_model  # noqa: E402

MODELS = {
    "demo": ("--source_num_layers", "3", "--vocab_size", "8000", "--tokenizer_sentences", "40000"),
    "mini": (),
}
MASKED = {"demo": 0.3, "mini": 0.15}
TRAININGS = ("post-training", "fine-tuning")
PRECISIONS = ("float32", "bfloat16")
EVERY = 100  # steps of a stored point
ALL_CASES = [
    f"{model}, {training}, {precision}"
    for model in MODELS
    for training in TRAININGS
    for precision in PRECISIONS
]


@dataclass
class Arguments:
    """What is measured."""

    data_dir: str | None = option(None, "Folder of KLUE's official release. Default: the Hub's data.")
    corpus: list[str] | None = option(None, "Text. Default: the demo's bills, which `make demo` fetches.")
    corpus_column: str | None = option(None, "Its text column. Default: the bills' own.")
    cases: list[str] | None = option(None, "Only these: 'demo, post-training, bfloat16' and so on.")
    rows: int = option(8, "Rows of a step, as the demo has; of fine-tuning twice as many.")
    steps: int = option(3000, "Steps of a training; its first and last third are compared.")
    seed: int = option(0, "Of weights, order and masks.")
    store: bool = option(False, "Keep each result in benchmarks/results as soon as there is one.")

    def __post_init__(self) -> None:
        self.cases = self.cases or list(ALL_CASES)
        if unknown := set(self.cases) - set(ALL_CASES):
            raise XPTError(f"--cases: {unknown.pop()!r} is none of: {'; '.join(ALL_CASES)}")
        if self.steps < 3 * EVERY:
            raise XPTError(f"--steps: give at least {3 * EVERY}")


class Resident(TrainerCallback):
    """Resident memory after each step, until there are enough of them."""

    def __init__(self, steps: int) -> None:
        self.steps, self.mib = steps, list[int]()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mib.append(resident_memory_mib())
        control.should_training_stop = len(self.mib) >= self.steps


def setting_of(asked: dict[str, Any], model: str) -> Setting:
    """Text, model and rows of a case."""
    return Setting(
        model="mini",
        corpus=tuple(asked["corpus"] or [str(REPO / "downloads" / "bills" / "bill_texts.parquet")]),
        column=asked["corpus_column"] or (None if asked["corpus"] else "propose_reason"),
        tokenizer=str(REPO / "tokenizer"),
        workdir=Path(asked["workdir"]),
        rows=asked["rows"],
        length=128,
        seed=asked["seed"],
        flags=MODELS[model],
    )


def post_training(asked: dict[str, Any], model: str, bf16: bool, probe: bool) -> dict[str, Any]:
    """Phase 2 as `train_xpt.py` runs it, or what `--dry_run true` finds of it."""
    setting = setting_of(asked, model)
    masked = ("--phase2_mlm_probability", str(MASKED[model]))
    evaluated = ("--eval_strategy", "steps", "--eval_steps", str(asked["steps"] // 3))
    recipe = setting.recipe("--bf16", str(bf16).lower(), *masked, *evaluated)
    text, weights, report = setting.prepared(recipe)
    with closing(Run(setting.workdir / f"run-{os.getpid()}", False)) as run:
        phases = recipe.planned_phases(report)
        training = PostTraining(recipe, run, weights, report, text, phases, StopRequest())
        training.prepare(phases[1])
        if probe:
            probe_phase(training, 1)
            probe_evaluation(training, "validation")
            return {"dry_run_mib": peak_memory_mib()["cpu"]}
        trainer = phase_trainer(training, 1, Resident(asked["steps"]))
        training._evaluate("validation", "Evaluating step 0")  # as a run does before it trains
        return watched(trainer, training.training_conditions())


def fine_tuning(asked: dict[str, Any], model: str, bf16: bool) -> dict[str, Any]:
    """As `finetune_klue.py` trains on NLI, from the weights that post-training would begin with."""
    setting = setting_of(asked, model)
    checkpoint, rows = setting.workdir / f"checkpoint-{model}", 2 * asked["rows"]
    if not checkpoint.exists():
        text, weights, _ = setting.prepared(setting.recipe())
        checkpoint.mkdir()
        save_model(weights, text.tokenizer, checkpoint)
    plan = read_plan(
        [
            *("--model_name_or_path", str(checkpoint), "--task", "nli", "--seed", str(asked["seed"])),
            *(("--data_dir", asked["data_dir"]) if asked["data_dir"] else ()),
            *("--output_dir", str(setting.workdir), "--num_train_epochs", "100"),
            # Scoring takes memory of its own, so that the first third has some too.
            *("--evaluations_per_epoch", "12", "--max_validation_examples", "300"),
            *("--early_stopping_patience", "0"),
            *("--per_device_train_batch_size", str(rows), "--bf16", str(bf16).lower()),
        ]
    )
    name, backbone = str(checkpoint), open_backbone(str(checkpoint), None)
    task = plan.task("nli")
    arguments = plan.training.for_task(
        task.official_settings(backbone.hidden_size), asked["seed"], lora=False
    )
    with closing(Run(setting.workdir / f"run-{os.getpid()}", False)) as run:
        weights_files, splits = find_weights(name, None), plan.splits("nli")
        tuning = FineTuning(run, task, backbone, weights_files, splits, arguments, plan.model, StopRequest())
        tuning.prepare()
        count = rows * tuning.steps
        features = ShuffledRows(tuning.features, count, rows, asked["seed"], arguments.length_grouping)
        trainer = tuning.trainer(features)
        trainer.add_callback(Resident(asked["steps"]))
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.args.logging_strategy = "no"
        return watched(trainer, fast_path(tuning.model, arguments.device, arguments.fast_path))


def watched(trainer: Any, conditions: AbstractContextManager) -> dict[str, Any]:
    """Train to the end; resident memory by step, and at its highest."""
    with conditions:
        trainer.train()
    resident = next(one for one in trainer.callback_handler.callbacks if isinstance(one, Resident)).mib
    return {"resident_mib": resident, "peak_mib": peak_memory_mib()["cpu"]}


def measure(asked: dict[str, Any], case: str) -> dict[str, Any]:
    """A case in processes of its own."""
    training = case.split(", ")[1]
    steps = [
        {"case": case, "probe": probe} for probe in ((False, True) if training == TRAININGS[0] else (False,))
    ]
    found: dict[str, Any] = {}
    for step in steps:
        done = subprocess.run(
            [sys.executable, __file__, json.dumps({**asked, **step})],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found |= json.loads(done.stdout.splitlines()[-1])
    return summary(found)


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """First and last third, their ratio, and the points that are stored."""
    mib = found["resident_mib"]
    third = len(mib) // 3
    first, last = statistics.median(mib[:third]), statistics.median(mib[-third:])
    points = {str(step): mib[step - 1] for step in (5, *range(EVERY, len(mib) + 1, EVERY))}
    row = {
        "first_mib": first,
        "last_mib": last,
        "ratio": last / first,
        "resident_mib": points,
        "peak_mib": found["peak_mib"],
        "steps": len(mib),
    }
    if "dry_run_mib" in found:
        row |= {
            "dry_run_mib": found["dry_run_mib"],
            "dry_run_ratio": found["dry_run_mib"] / found["peak_mib"],
        }
    return row


def bench(arguments: Arguments) -> str:
    """Measure the cases one after another; the table."""
    rows: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        asked = {**asdict(arguments), "workdir": folder}
        for case in arguments.cases or ():
            rows[case] = measure(asked, case)
            print(line(case, rows[case]), file=sys.stderr, flush=True)
            if arguments.store:
                facts = {"rows": arguments.rows, "max_seq_length": 128, "results": {case: rows[case]}}
                store(f"steady-{case.replace(', ', '-')}", record("memory.py", arguments.seed, **facts))
    return "\n".join(line(case, row) for case, row in rows.items())


def line(case: str, row: dict[str, Any]) -> str:
    """A case as a person reads it."""
    told = ""
    if "dry_run_ratio" in row:
        told = f"   peak of a dry run / of the run {row['dry_run_ratio']:.2f}"
    return (
        f"{case:34} first third {row['first_mib']:6,.0f} MiB   last {row['last_mib']:6,.0f} MiB   "
        f"ratio {row['ratio']:.3f}{told}"
    )


def case_alone(asked: dict[str, Any]) -> None:
    """Be one case; its findings are the last line on standard output."""
    model, training, precision = asked["case"].split(", ")
    bf16 = precision == PRECISIONS[1]
    if training == TRAININGS[0]:
        found = post_training(asked, model, bf16, asked["probe"])
    else:
        found = fine_tuning(asked, model, bf16)
    print(json.dumps(found), flush=True)


def main() -> int:
    """Run the command line."""
    parser = OptionParser((Arguments,), "benchmarks/memory.py", __doc__)
    return run_program(lambda stop: bench(parser.read(sys.argv[1:], Path).parts[0]))


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        case_alone(json.loads(sys.argv[1]))
    else:
        sys.exit(main())
