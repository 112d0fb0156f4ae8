"""The tables and the picture of docs/performance.md, out of benchmarks/results: `python docs/render.py`.

A result that is not stored makes a line that says *not measured*.
"""

import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.append(str(DOCS.parent / "benchmarks"))
from crossing import TARGETS, minutes_to  # noqa: E402

PERFORMANCE = DOCS / "performance.md"
PICTURE = DOCS / "images" / "throughput.png"
RESULTS = DOCS.parent / "benchmarks" / "results"
NOT_MEASURED = "*not measured*"
EARLIER_WORDS = {
    r"(\d+) rows a step": r"global batch size \1",
    "everything learns": "all weights train",
    "XPT, native,": "XPT, RoBERTa export,",
    "frozen layers drop too": "dropout in frozen layers too",
}
SECTION = re.compile(r"<!-- (\w+): (\S*) -->\n.*?<!-- end of \1 -->", re.DOTALL)


def load(name: str) -> dict[str, Any] | None:
    """A stored result, or None."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["-"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def measured_by(result: dict[str, Any]) -> str:
    """Command, seed, hardware and versions of a result, in a sentence."""
    hardware, versions = result["hardware"], result["versions"]
    where = ", ".join(hardware["gpus"]) or f"{hardware['threads']} threads of {hardware['cpu']}"
    return (
        f"`{result['command']}`, seed {result['seed']}; {where}; torch {versions['torch']}, transformers "
        f"{versions['transformers']}."
    )


def ratio(row: dict[str, Any], to: float = 1.0) -> str:
    """Median and extremes over the rounds."""
    return f"{row['ratio'] / to:.2f} ({row['ratio_slowest'] / to:.2f}-{row['ratio_fastest'] / to:.2f})"


def headlines(_: str) -> str:
    """What the page says, in three points."""
    small, large, ideas = load("throughput-mini"), load("throughput-base"), load("quality-quick-42")
    if small is None or large is None or ideas is None:
        return NOT_MEASURED
    mini, base = (one["results"]["ours, phase 2"]["ratio"] for one in (small, large))
    found = {name: middle(minutes(runs_of(name), 2.0)) for name in ("quick", "no_itl", "stock_30")}
    speed = (
        f"- **Speed**: on two CPU cores phase 2 reads {mini:.1f} times as many tokens/s as transformers' "
        f"Trainer with its best flags (6 layers of 384), {base:.1f} times with 12 layers of 768. After equal "
        "tokens the loss is that of the Trainer line by line, within the noise of seeds."
    )
    quality = (
        f"- **Time to quality**: 2.0 nats below unigram frequencies take {found['quick']:.2f} minutes, the "
        f"stock script {found['stock_30']:.2f}. At such a budget **neither ITLs nor two phases help**: "
        f"without ITLs it is {found['no_itl']:.2f} minutes, and the quick recipe has one phase. "
        f"What they give over hours is {NOT_MEASURED}."
    )
    return f"{speed}\n{quality}\n- **GPUs**: {NOT_MEASURED}."


def throughput(name: str) -> str:
    """Ours beside the stock Trainer."""
    result = load(name)
    if result is None:
        return NOT_MEASURED
    rows = result["results"]
    lines = rows["stock, line by line"]["tokens_per_second"]
    table = [
        [
            contestant,
            f"{row['tokens_per_second']:,.0f}",
            f"{row['tokens_per_second'] / lines:.1f}",
            ratio(row),
            f"{row['model_flops_per_token'] / 1e6:,.0f} M",
            f"{row['flops_per_second'] / 1e9:,.0f} G",
            f"{row['mfu']:.0%}",
            f"{row['peak_mib'] / 1024:.2f} GiB",
            f"{row['waited']:.1%}",
        ]
        for contestant, row in rows.items()
    ]
    head = ["", "real tokens/s", "speedup over line by line", "speedup over best flags", "FLOP per token"]
    head += ["FLOP/s", "MFU"]
    return f"{grid([*head, 'peak memory', 'data wait'], table)}\n\n{measured_by(result)}"


def losses(name: str) -> str:
    """Held-out loss of each after equal tokens, beside the one that trains as ours does."""
    result = load(name)
    if result is None:
        return NOT_MEASURED
    rows = result["results"]
    table = [
        [
            contestant,
            f"{row['tokens']:,.0f}",
            f"{row['steps']:,}",
            f"{row['eval_loss']:.3f} ({row['lowest']:.3f}-{row['highest']:.3f})",
            f"{row['nats_under_unigram']:.2f}",
            f"{row['difference']:+.3f}",
            "" if contestant == result["ratio_to"] else row["verdict"],
        ]
        for contestant, row in rows.items()
    ]
    seeds = len(next(iter(result["scores"].values())))
    head = ["", "real tokens", "steps", f"held-out loss ({seeds} seeds)", "under unigram"]
    head += [f"to {result['ratio_to']}", f"beyond {result['noise']:.3f}"]
    return f"{grid(head, table)}\n\n{measured_by(result)}"


def ablation(name: str) -> str:
    """What each part gives, in phase 2."""
    result = load(name)
    if result is None:
        return NOT_MEASURED
    table = [
        [
            in_words_of_today(variant),
            f"{row['tokens_per_second']:,.0f}",
            ratio(row),
            f"{row['peak_mib'] / 1024:.2f} GiB",
        ]
        for variant, row in result["results"].items()
    ]
    return f"{grid(['', 'real tokens/s', 'ratio to whole', 'peak memory'], table)}\n\n{measured_by(result)}"


def memory(name: str) -> str:
    """Peak memory above that of the process before training."""
    result = load(name)
    if result is None:
        return NOT_MEASURED
    rows = result["results"]
    last = rows[result["ratio_to"]]["peak_mib"]
    table = [
        [contestant, f"{row['peak_mib'] / 1024:.2f} GiB", f"{row['peak_mib'] / last:.2f}"]
        for contestant, row in rows.items()
    ]
    shape = f"{result['rows']} packed sequences of {result['max_seq_length']} tokens"
    head = [shape, "peak memory", f"to {result['ratio_to']}"]
    return f"{grid(head, table)}\n\n{measured_by(result)}"


def gpu(name: str) -> str:
    """What benchmarks/gpu.sh measured: speed of each shape, then a line for each other part."""
    result = load(name)
    if result is None:
        return NOT_MEASURED
    speed: list[list[str]] = []
    others: list[str] = []
    for part, found in result["parts"].items():
        if "failed" in found:
            others.append(f"- {part}: {NOT_MEASURED} ({found['failed']})")
        elif "results" in found:
            shape = f"{part.removeprefix('speed, ')}, {found['rows']} packed sequences"
            speed += [
                [
                    f"{shape}, {contestant}",
                    f"{row['tokens_per_second']:,.0f}",
                    ratio(row),
                    f"{row['mfu']:.0%}",
                    f"{row['peak_mib'] / 1024:.1f} GiB",
                ]
                for contestant, row in found["results"].items()
            ]
        else:
            figures = (f"{key.replace('_', ' ')} {value}" for key, value in found.items())
            others.append(f"- {part}: {', '.join(figures)}")
    head = ["", "real tokens/s", "speedup over best flags", "MFU", "peak memory"]
    return "\n\n".join([grid(head, speed), "\n".join(others), measured_by(result)])


def steady(pattern: str) -> str:
    """Resident memory early and late in long trainings, and what a dry run had said of them."""
    results = [
        json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob(f"{pattern}-*.json"))
    ]
    if not results:
        return NOT_MEASURED
    table = [
        [
            case,
            f"{row['steps']:,} of {result['rows']} packed sequences",
            f"{row['first_mib']:,.0f} MiB",
            f"{row['last_mib']:,.0f} MiB",
            f"{row['ratio']:.3f}",
            f"{row['peak_mib']:,.0f} MiB",
            f"{row['dry_run_ratio']:.2f}" if "dry_run_ratio" in row else "-",
        ]
        for result in results
        for case, row in result["results"].items()
    ]
    head = ["", "steps", "first third", "last third", "last / first", "peak", "dry run / peak"]
    return f"{grid(head, table)}\n\n{measured_by(results[0])}"


def fine_tuning(task: str) -> str:
    """finetune_klue.py beside the stock Trainer."""
    result = load(f"fine_tuning-{task}")
    if result is None:
        return f"{task}: {NOT_MEASURED}"
    fixed = result["results"]["Trainer, fixed length, float32"]["ratio"]
    table = [
        [contestant, f"{row['tokens_per_second']:,.0f}", ratio(row), f"{row['ratio'] / fixed:.2f}"]
        for contestant, row in result["results"].items()
    ]
    head = [task, "real tokens/s", "to lengths grouped, float32", "to fixed length"]
    return f"{grid(head, table)}\n\n{measured_by(result)}"


def inference(name: str) -> str:
    """Engines, at batch 1 and 32."""
    result = load(name)
    if result is None:
        return NOT_MEASURED
    table = [
        [
            in_words_of_today(engine),
            f"{row['milliseconds_at_batch_1']:.1f}",
            f"{row['sequences_per_second_at_batch_32']:.1f}",
        ]
        for engine, row in result["results"].items()
    ]
    head = [
        "",
        f"milliseconds, batch 1 x {result['latency_length']} tokens",
        f"sequences/s, batch 32 x {result['length']}",
    ]
    return f"{grid(head, table)}\n\n{measured_by(result)}"


def preparation(name: str) -> str:
    """Text to ids, for each tokenizer and size."""
    results = load(name)
    if results is None:
        return NOT_MEASURED
    parts = []
    for tokenizer, result in results.items():
        table = [
            [
                f"{size['sentences_cleaned']:,}",
                f"{size['whole']['sentences_per_wall_second']:,}",
                f"{size['whole']['sentences_per_cpu_second']:,}",
                f"{max(size['peak_mib'].values()):,.0f} MiB",
                f"{size['second_start']['whole']['wall_seconds']:.2f} s",
            ]
            for size in result["sizes"]
        ]
        head = [
            f"sentences, {tokenizer}",
            "sentences/s",
            "sentences per CPU second",
            "peak memory",
            "warm start",
        ]
        load_then = result["hardware"]["load"]
        parts += [grid(head, table), "", f"`{result['command']}`; load {load_then}.", ""]
        parts += [growth(result["growth"]), ""] if "growth" in result else []
    return "\n".join(parts).rstrip()


def growth(found: dict[str, Any]) -> str:
    """What more text costs, a sentence."""
    seconds, more = found["wall_seconds_by_sentences"], found["bytes_a_sentence_anonymous"]
    return (
        f"With {found['sentences_ratio']:.1f} times the text, a sentence is cleaned in "
        f"{seconds['corpus']:.2f} and encoded in {seconds['ids']:.2f} of the time; memory (files that are "
        f"mapped left out) grows by {max(more.values()):.0f} bytes for each sentence more."
    )


def record_board(pattern: str) -> str:
    """Ideas, quickest first: minutes to each quality, over seeds, and the time of stock over theirs."""
    ideas: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(RESULTS.glob(f"{pattern}-*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        ideas.setdefault(result["name"], []).append(result)
    if not ideas:
        return NOT_MEASURED
    stock = [runs for runs in ideas.values() if runs[0]["contestant"] == "stock"]
    best = {
        nats: min(filter(None, (middle(minutes(runs, nats)) for runs in stock)), default=None)
        for nats in TARGETS
    }
    ordered = sorted(ideas.values(), key=lambda runs: middle(minutes(runs, TARGETS[0])) or float("inf"))
    table = [
        [
            f"{runs[0]['contestant']}, *{runs[0]['name']}*: {in_words_of_today(runs[0]['idea'])}",
            *(
                cell
                for nats in TARGETS
                for cell in (spread(runs, nats), times(best[nats], middle(minutes(runs, nats))))
            ),
            ", ".join(str(run["seed"]) for run in runs),
        ]
        for runs in ordered
    ]
    head = [cell for nats in TARGETS for cell in (f"minutes to {nats} nats", "speedup over stock")]
    hardware = ordered[0][0]["hardware"]
    commands = [f"- *{runs[0]['name']}*: `{without_idea(runs[0]['command'])}`" for runs in ordered]
    lines = [
        grid(["", *head, "seeds"], table),
        "",
        f"{hardware['threads']} threads of {hardware['cpu']}. The commands, without their label (`--idea`):",
        "",
        *commands,
    ]
    return "\n".join(lines)


def in_words_of_today(label: str) -> str:
    """A stored label; results are kept as they were written, and some of their words have gone since."""
    for old, new in EARLIER_WORDS.items():
        label = re.sub(old, new, label)
    return label


def without_idea(command: str) -> str:
    """A stored command without the label of the board, which changes nothing that is measured."""
    return re.sub(r" --idea '[^']*'", "", command)


def runs_of(name: str) -> list[dict[str, Any]]:
    """The stored runs of an idea, a seed each."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(RESULTS.glob(f"quality-{name}-*.json"))]


def minutes(runs: list[dict[str, Any]], nats: float) -> list[float] | None:
    """Of each seed that went for it, fewest first; None where one has not got there, or none did."""
    found = [minutes_to(run["scores"], nats) for run in aimed(runs, nats)]
    return None if None in found or not found else sorted(found)


def middle(found: list[float] | None) -> float | None:
    """The median over seeds."""
    return statistics.median(found) if found else None


def spread(runs: list[dict[str, Any]], nats: float) -> str:
    """Median and extremes over the seeds that went for it."""
    tried = aimed(runs, nats)
    if not tried:
        return NOT_MEASURED
    if (found := minutes(runs, nats)) is None:
        return f"not in {max(run['scores'][-1]['seconds'] for run in tried) / 60:.0f}"
    return f"{middle(found):.2f}" + (f" ({found[0]:.2f}-{found[-1]:.2f})" if len(found) > 1 else "")


def aimed(runs: list[dict[str, Any]], nats: float) -> list[dict[str, Any]]:
    """Those of `runs` that were not to end before, at a lower target."""
    return [run for run in runs if run["target"] >= nats]


def times(other: float | None, own: float | None) -> str:
    """How often `own` goes into `other`."""
    return f"{other / own:.1f}" if other and own else "-"


SECTIONS: dict[str, Callable[[str], str]] = {
    "headlines": headlines,
    "throughput": throughput,
    "losses": losses,
    "ablation": ablation,
    "memory": memory,
    "gpu": gpu,
    "steady": steady,
    "tuning": fine_tuning,
    "inference": inference,
    "preparation": preparation,
    "quality": record_board,
}


def rendered(text: str) -> str:
    """docs/performance.md with the tables of the stored results."""
    return SECTION.sub(
        lambda match: (
            f"<!-- {match[1]}: {match[2]} -->\n{SECTIONS[match[1]](match[2])}\n<!-- end of {match[1]} -->"
        ),
        text,
    )


def draw(path: Path = PICTURE) -> None:
    """Bars of real tokens a second, relative to stock at its best flags, with the MFU of each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = [(size, result) for size in ("mini", "base", "large") if (result := load(f"throughput-{size}"))]
    if not found:
        return
    figure, axes = plt.subplots(
        1, len(found), figsize=(5.5 * len(found), 3.2), layout="constrained", squeeze=False
    )
    for axis, (size, result) in zip(axes[0], found, strict=True):
        names = list(result["results"])[::-1]
        rows = [result["results"][name] for name in names]
        colors = ["#1f5fa8" if name.startswith("ours") else "#9a9a9a" for name in names]
        spread = [
            [row["ratio"] - row["ratio_slowest"] for row in rows],
            [row["ratio_fastest"] - row["ratio"] for row in rows],
        ]
        axis.barh(names, [row["ratio"] for row in rows], xerr=spread, color=colors, error_kw={"lw": 1})
        for place, row in enumerate(rows):
            axis.text(
                row["ratio_fastest"] + 0.05,
                place,
                f"{row['ratio']:.2f}, MFU {row['mfu']:.0%}",
                va="center",
                fontsize=9,
            )
        shape = result["model"]
        axis.set(
            title=f"{size}: {shape['english_layers'] + shape['itls']} layers of {shape['hidden']}",
            xlabel="real tokens/s, stock at its best flags = 1",
            xlim=(0, 1.45 * max(row["ratio_fastest"] for row in rows)),
        )
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
