"""What a run says of itself in a few lines: before it trains, after each stage, and at its end."""

import math
import os
from pathlib import Path
from textwrap import indent
from typing import Any

from xpt.program.formatting import duration, known, pad, short_count, short_number, short_size, wrap
from xpt.program.precision import precision
from xpt.recipe.recipe import Recipe
from xpt.run.folder import Run
from xpt.run.preparation import SPLITS, PreparedText
from xpt.run.shown import print_shown
from xpt.text.corpus import format_corpus_report
from xpt.text.language import find_language
from xpt.training.evaluation import MLMEvaluation
from xpt.training.notes import phase_notes
from xpt.training.phases import Phase
from xpt.transplant.architectures import CLM
from xpt.transplant.source import format_report

# Nats per masked token; of a smaller difference nothing is said, as chance makes a few hundredths.
NOTICEABLE = 0.1
LABEL = 14  # columns


def announcement(
    recipe: Recipe, text: PreparedText, report: dict[str, Any], phases: list[Phase], rows_per_step: int
) -> str:
    """What is about to be trained, on what, in which precision, and how to stop it."""
    training = recipe.training
    lines = [line("text", describe_splits(text)), format_corpus_report(text.corpus.report)]
    if text.bilingual:
        lines.append(line("and", str(text.bilingual)))
    lines.append(indent(format_report(report), "  "))
    for phase in phases:
        tokens = short_count(phase.steps * rows_per_step * recipe.phases.max_seq_length)
        told = "; ".join([f"trains {', '.join(phase.train)}", *phase_notes(phase.to_dict())])
        lines.append(line(phase.name, f"{phase.steps:,} steps, up to {tokens} tokens; {told}"))
    if recipe.phases.whole_word_masking:
        lines.append(line("masks", "whole words"))
    lines.append(line("precision", f"{precision(training)} on {training.device}"))
    lines.append(
        line(
            "folder",
            f"{shown_path(Path(str(training.output_dir)))}, a checkpoint every {training.save_steps:g} "
            "steps; Ctrl-C saves one and stops, the same command goes on",
        )
    )
    return "\n".join(lines)


def describe_splits(text: PreparedText) -> str:
    """Sentences of each split and tokens of the training split."""
    splits = text.corpus.report["splits"]
    sentences = ", ".join(f"{splits[split]['sentences']:,} {split}" for split in SPLITS)
    return f"{sentences} sentences; {text.counts.sum():,} training tokens"


def stage_line(stage: str, scored: MLMEvaluation) -> str:
    """The validation loss after a stage, beside its baselines."""
    unigram, shuffled = (known(short_number, x) for x in (scored.unigram_loss, scored.shuffled_context_loss))
    losses = f"validation loss {short_number(scored.loss)}, word frequencies {unigram}"
    return line(stage, f"{losses}, another sentence's context {shuffled}")


def verdict(loss: float, unigram: float, shuffled: float) -> str:
    """Whether the model left the unigram plateau, in words; losses in nats per masked token.

    On the plateau a model knows how frequent each piece is and nothing else: its loss is that of the unigram
    frequencies, and it does not matter to it which sentence it reads.
    """
    if not math.isfinite(loss):
        return f"diverged: the loss is {loss}"
    below, context = unigram - loss, shuffled - loss
    if context < NOTICEABLE:
        where = "on" if abs(below) < NOTICEABLE else "below" if below > 0 else "above"
        return f"ignores its context: another sentence's serves it as well ({where} the unigram plateau)"
    if below < NOTICEABLE:
        return f"reads its context, but is not below word frequencies yet ({-below:+.1f} nats)"
    return f"reads its context: {below:.1f} nats below word frequencies"


def summarize(run: Run) -> str:
    """A finished run, as one would show it to somebody: what it is, what it reached, how to use it.

    Args:
        run: of post-training.

    Returns:
        Lines of text: losses in nats per masked token beside their baselines, and what the model fills in.

    Raises:
        XPTError: the results are not what a run writes.

    Example:
        >>> lines = xpt.summarize(xpt.Run("output/mine")).splitlines()
        >>> lines[1].strip().startswith("tiny-roberta -> Korean: ")
        True
    """
    results = run.results()
    try:
        return _summary(results, run.folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise run.damaged_results(f"{type(error).__name__}: {error}") from error


def _summary(results: dict[str, Any], folder: Path) -> str:
    test, settings = results["test"], results["settings"]
    unigram, shuffled = results["unigram_loss"], results["shuffled_context_loss"]
    language = find_language(settings["language"]).name
    causal = results["transplant"].get("objective") == CLM
    token = "token" if causal else "masked token"
    reached = f"{short_number(test['loss'])} nats per {token} ({test['masked_tokens']:,} tokens)"
    lines = [
        "",
        wrap(
            f"{results['source']['name']} -> {language}: {verdict(test['loss'], unigram, shuffled)}", "  ", ""
        ),
        line("text", _text(results)),
        line("test loss", f"{reached}, perplexity {short_number(test['perplexity'])}"),
        *([line("", _of_text(results))] if causal else []),
        line("", f"word frequencies {_beside(unigram, test['loss'])}"),
        line("", f"another sentence's context {_beside(shuffled, test['loss'])}"),
        *(line(phase["name"], _phase(phase)) for phase in results["phases"]),
        line("took", _cost(results)),
        *usage(folder, causal),
    ]
    if shown := print_shown(results):
        lines += ["", shown]
    return "\n".join(lines)


def _of_text(results: dict[str, Any]) -> str:
    """A decoder's loss by what does not hang on a vocabulary."""
    test, text = results["test"], results["test_text"]
    sums = test["loss"] * text["tokens"]
    each = {unit: short_number(sums / text[f"{unit}s"]) for unit in ("character", "byte")}
    return ", ".join(f"{number} nats per {unit}" for unit, number in each.items())


def usage(folder: Path, causal: bool = False) -> list[str]:
    """Where the model is, and the two lines that load it.

    `AutoTokenizer` would ask whether to run the model's code, which a tokenizer does not need, or, told not
    to, warn of a model type that it does not know.
    """
    path = shown_path(folder)
    return [
        line("model", path),
        f'  tokenizer = PreTrainedTokenizerFast.from_pretrained("{path}")',
        f'  model = AutoModelForCausalLM.from_pretrained("{path}")'
        if causal
        else f'  model = AutoModelForMaskedLM.from_pretrained("{path}", trust_remote_code=True)',
    ]


def line(label: str, text: str) -> str:
    """`text` beside its label, or under the text above where that is empty; wrapped."""
    return wrap(text, " " * (LABEL + 2), f"  {pad(label, LABEL)}" if label else None)


def shown_path(path: Path) -> str:
    """A path as one would type it here: nothing of the machine where it is inside the working folder."""
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)


def _text(results: dict[str, Any]) -> str:
    inputs = results["corpus"]["inputs"]
    names = [one.get("file") or one.get("dataset") for one in inputs]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    sentences = results["corpus"]["splits"]["train"]["sentences"]
    tokens = results["tokenizer"]["train_tokens"]
    read = sum(phase["tokens"] for phase in results["phases"])
    return (
        f"{shown}: {short_count(sentences)} training sentences, {short_count(tokens)} tokens; "
        f"{short_count(read)} read in training"
    )


def _beside(baseline: float, loss: float) -> str:
    return f"{short_number(baseline)} ({baseline - loss:+.3f})"


def _phase(phase: dict[str, Any]) -> str:
    speed = phase["tokens_per_second"]
    return (
        f"{phase['steps']:,} steps, {short_count(phase['tokens'])} tokens"
        + (f", {short_count(speed)} tokens/s" if speed else "")
        + f", validation loss {short_number(phase['eval_loss'])}"
    )


def _cost(results: dict[str, Any]) -> str:
    seconds = results["seconds"]
    training = sum(seconds.get(phase["name"], 0.0) for phase in results["phases"])
    memory = peak_memory(results["peak_memory_mib"])
    return f"{duration(sum(seconds.values()))} ({duration(training)} training); peak memory {memory}"


def peak_memory(peaks: dict[str, int]) -> str:
    """MiB by device, as a person reads them."""
    return ", ".join(f"{short_size(mib * 2**20)} {name}" for name, mib in peaks.items())
