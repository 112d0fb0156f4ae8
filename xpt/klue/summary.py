"""What is said of a fine-tuning in a few lines: before it trains, and when it is scored."""

from typing import Any

from xpt.klue.data import Split
from xpt.klue.fine_tuning import FineTuning
from xpt.legible import duration, known, short_count
from xpt.precision import precision
from xpt.summary import line, peak_memory, shown_path


def announcement(tuning: FineTuning) -> str:
    """What is about to be trained, on what, and how to stop it."""
    task, arguments, model = tuning.task, tuning.arguments, tuning.backbone
    learned = sum(tensor.numel() for tensor in tuning.model.parameters() if tensor.requires_grad)
    lines = [
        "",
        line(task.reported_as, f"{task.title}, seed {arguments.seed}"),
        line(
            "model", f"{model.name} ({model.config.model_type}, {model.kind}), {short_count(learned)} trained"
        ),
        *(line(name, describe_split(split)) for name, split in tuning.splits.items()),
        line(
            "training",
            f"{tuning.steps:,} steps of {arguments.rows_per_step}, up to {tuning.encoder.max_length} tokens, "
            f"learning rate {arguments.learning_rate:g}, {precision(arguments)} on {arguments.device}",
        ),
        line(
            "folder",
            f"{shown_path(tuning.run.folder)}; Ctrl-C saves and stops, the same command goes on",
        ),
    ]
    if tuning.weights.pickled:
        lines.append(line("note", "the weights are a pickle: it is read without running what it may hold"))
    return "\n".join(lines)


def describe_split(split: Split) -> str:
    """How much there is of a split, whether that is all, and what is odd about it."""
    text = f"{len(split.examples):,} examples of {split.origin}"
    if not split.is_whole:
        text += f"; not the full set, {split.used:,} of {split.official:,}"
    return "; ".join([text, *(f"WARNING: {warning}" for warning in split.warnings)])


def result_lines(results: dict[str, Any]) -> str:
    """The scores of one finished run."""
    data = results["data"]["validation"]
    scores = ", ".join(
        f"{name.split('/')[1]} {'undefined' if value is None else f'{value:.2f}'}"
        for name, value in results["metrics"].items()
    )
    last = {name: value for name, value in results.get("last_metrics", {}).items() if value is not None}
    if last and results["best_step"] != results["steps"]:
        scores += " (last step " + ", ".join(f"{value:.2f}" for value in last.values()) + ")"
    part = "" if data["whole"] else f" on {data['records']:,} of {data['official_records']:,}"
    spent, peaks = known(duration, results["seconds"]["training"]), results.get("peak_memory_mib")
    cost = f"training took {spent}" + (f", peak memory {peak_memory(peaks)}" if peaks else "")
    return line(results["reported_as"], f"seed {results['seed']}: {scores}{part} ({cost})")
