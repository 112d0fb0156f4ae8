"""What is said of a fine-tuning in a few lines: before it trains, and when it is scored."""

from typing import Any

from xpt.finetune.fine_tuning import FineTuning
from xpt.finetune.scored import beside, scored_data
from xpt.finetune.split import Split
from xpt.program.formatting import duration, known, short_count
from xpt.program.precision import precision
from xpt.run.summary import line, peak_memory, shown_path


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
    data = scored_data(results)
    scores = ", ".join(_score(results, name) for name in results["metrics"])
    last = {name: value for name, value in results.get("last_metrics", {}).items() if value is not None}
    if last and results["best_step"] != results["steps"]:
        scores += " (last step " + ", ".join(f"{value:.2f}" for value in last.values()) + ")"
    part = "" if data["whole"] else f" on {data['records']:,} of {data['official_records']:,}"
    if "scored_on" in results:
        part += f" {'on' if data['whole'] else 'of'} {results['scored_on']}, the best step by validation"
    spent, peaks = known(duration, results["seconds"]["training"]), results.get("peak_memory_mib")
    cost = f"training took {spent}" + (f", peak memory {peak_memory(peaks)}" if peaks else "")
    return line(results["reported_as"], f"seed {results['seed']}: {scores}{part} ({cost})")


def _score(results: dict[str, Any], metric: str) -> str:
    value, more = results["metrics"][metric], beside(results, metric)
    shown = "undefined" if value is None else f"{value:.2f}"
    return f"{metric.split('/')[1]} {shown}" + (f" ({more})" if more else "")
