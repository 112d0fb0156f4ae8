"""Post-training against transformers' Trainer: real tokens a second, at equal model, text and machine.

    python benchmarks/throughput.py --model mini                   `make bench`
    python benchmarks/throughput.py --model mini --ablate true     what each part of the fast path gives
    python benchmarks/throughput.py --model mini --equal_tokens 200000 --rows 8 \
        --source_model_name_or_path downloads/minilm               whether the speed costs quality

What stands after `--` is told to train_xpt.py, for source, text and tokenizer, which stock shares; what it
says of the training holds for ours alone. `make bench` has examples.

Contestants take turns, a window of steps each; with `--equal_tokens` each trains to its end and is scored. A
real token is one of a sentence, `<s>` and `</s>` included; padding is none.
"""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "benchmarks")]
import torch  # noqa: E402
from contestants import ABLATIONS, CONTESTANTS, ITLS, SIZES, Setting  # noqa: E402
from equal_tokens import compare_losses, loss_table, seed_noise, train_all  # noqa: E402
from flags import run_with_flags  # noqa: E402
from records import RESULTS, record, store  # noqa: E402
from turns import compare, take_turns  # noqa: E402

from xpt.program.errors import XPTError  # noqa: E402
from xpt.program.settings import option  # noqa: E402
from xpt.run.preparation import PreparedText  # noqa: E402

BILLS = REPO / "downloads" / "bills" / "bill_texts.parquet"
SCRIPT = REPO / "benchmarks" / "contestants.py"
REFERENCE = {False: "stock, best flags", True: "whole"}
# Its sentences do not see each other, as ours do not.
LOSS_REFERENCE = {False: "stock, line by line", True: "whole"}


@dataclass
class Arguments:
    """What is measured."""

    model: str = option("mini", "Shape of the English encoder; two ITLs come on top.", choices=list(SIZES))
    ablate: bool = option(False, "Measure the parts of the fast path one by one instead.")
    equal_tokens: int = option(
        0, "Real tokens that each trains on, to compare held-out losses instead of speed. Default: speed."
    )
    contestants: list[str] | None = option(
        None, "Only these, to the last of which the others are compared. Default: all."
    )
    corpus: list[str] | None = option(None, "Text. Default: the demo's bills, which `make demo` fetches.")
    corpus_column: str | None = option(None, "Its text column. Default: the bills' own.")
    tokenizer_name_or_path: str = option(
        str(REPO / "tokenizer"),
        "Tokenizer. Default: the 32,000 pieces here; with `-- --vocab_size N` one of the text is trained.",
    )
    source_model_name_or_path: str | None = option(
        None, "Source whose weights all begin with. Default: one of this shape that has read nothing."
    )
    rows: int = option(32, "Rows (stock, line by line: sentences) of a batch.")
    max_seq_length: int = option(128, "Tokens of a row.")
    rounds: int = option(6, "Turns of each contestant, after a warm-up.")
    steps: int = option(3, "Steps of a turn.")
    learning_rate: float = option(5e-4, "Equal tokens: at its peak; it falls to 0.")
    seeds: int = option(3, "Equal tokens: trainings of each contestant, from --seed on.")
    seed: int = option(0, "Of weights, order and masks.")
    name: str | None = option(None, "Of the stored result. Default: what is measured, and the model.")
    store: bool = option(False, "Keep the result.")
    results_dir: str = option(str(RESULTS), "Where it is kept.")

    def __post_init__(self) -> None:
        known = ABLATIONS if self.ablate else CONTESTANTS
        trained = [name for name in known if name != "matrices" or not self.equal_tokens]
        self.contestants = self.contestants or trained
        if unknown := set(self.contestants) - set(trained):
            raise XPTError(f"--contestants: {unknown.pop()!r} is none of: {'; '.join(trained)}")
        if 0 < self.equal_tokens < 10 * self.rows * self.max_seq_length or self.equal_tokens < 0:
            raise XPTError("--equal_tokens: give at least ten steps of --rows x --max_seq_length tokens")
        if self.seeds < 1:
            raise XPTError("--seeds: give at least 1")
        measured = "ablation" if self.ablate else "throughput"
        self.name = self.name or f"{'equal_tokens' if self.equal_tokens else measured}-{self.model}"

    @property
    def reference(self) -> str:
        """To whom the others are compared."""
        usual = (LOSS_REFERENCE if self.equal_tokens else REFERENCE)[self.ablate]
        return usual if usual in self.contestants else self.contestants[-1]


def summarize(
    reports: dict[str, list[dict]], setting: Setting, vocab_size: int, reference: str
) -> dict[str, dict[str, Any]]:
    """Rates, ratios and, where matrices were multiplied too, the share of their rate that was reached."""
    matrix = [one["rate"] for one in reports.pop("matrices", [])]
    rows = compare(reports, reference)
    for name, row in rows.items():
        frozen = setting.english_layers if "phase 1" in name else 0
        flops = setting.shape(vocab_size, frozen).flops_per_token()
        rates = [window["tokens"] / window["seconds"] for window in reports[name]]
        row |= {
            "model_flops_per_token": flops,
            "flops_per_second": row["tokens_per_second"] * flops,
            "mfu": statistics.median([rate * flops / top for rate, top in zip(rates, matrix, strict=True)])
            if matrix
            else None,
        }
    return rows


def rates(model: str, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Our rates, as docs/scale_table.py reads them."""
    device = "gpu" if torch.cuda.is_available() else "cpu"
    return [
        {
            "model": model,
            "device": device,
            "devices": 1,
            "phase": f"phase{phase}",
            "tokens_per_second": rows[f"ours, phase {phase}"]["tokens_per_second"],
        }
        for phase in (1, 2)
        if f"ours, phase {phase}" in rows
    ]


def table(rows: dict[str, dict[str, Any]]) -> str:
    """What a person reads."""
    lines = [f"{'':38} tokens/s   ratio (slowest-fastest)   GFLOP/s   MFU   memory  data wait"]
    for name, row in rows.items():
        mfu = f"{row['mfu']:.0%}" if row["mfu"] else "-"
        lines.append(
            f"{name:38} {row['tokens_per_second']:8,.0f}   {row['ratio']:5.2f} ({row['ratio_slowest']:.2f}-"
            f"{row['ratio_fastest']:.2f})          {row['flops_per_second'] / 1e9:7.0f}   {mfu:>4}  "
            f"{row['peak_mib']:5.0f} MiB   {row['waited']:.1%}"
        )
    return "\n".join(lines)


def bench(arguments: Arguments, flags: Sequence[str]) -> str:
    """Measure, keep where asked; the table."""
    corpus = arguments.corpus or [str(BILLS)]
    column = arguments.corpus_column or (None if arguments.corpus else "propose_reason")
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(
            model=arguments.model,
            corpus=tuple(corpus),
            column=column,
            tokenizer=arguments.tokenizer_name_or_path,
            workdir=Path(folder),
            rows=arguments.rows,
            length=arguments.max_seq_length,
            seed=arguments.seed,
            source=arguments.source_model_name_or_path,
            flags=tuple(flags),
        )
        text = setting.text()  # prepared once, before anybody reads it
        measure = measure_losses if arguments.equal_tokens else measure_speed
        measured, shown = measure(arguments, setting, text)
        result = record(
            "throughput.py",
            arguments.seed,
            model={
                "english_layers": setting.english_layers,
                "itls": ITLS,
                "hidden": SIZES[arguments.model][1],
                "vocab_size": len(text.tokenizer),
            },
            rows=arguments.rows,
            max_seq_length=arguments.max_seq_length,
            mean_sentence_tokens=float(text.train.lengths.mean()),
            ratio_to=arguments.reference,
            **measured,
        )
    if arguments.store:
        store(arguments.name, result, Path(arguments.results_dir))
    return shown


def measure_speed(arguments: Arguments, setting: Setting, text: PreparedText) -> tuple[dict[str, Any], str]:
    """Windows in turns: what a result keeps, and the table."""
    told = {**asdict(setting), "workdir": str(setting.workdir)}
    reports = take_turns(SCRIPT, arguments.contestants, told, arguments.rounds, arguments.steps)
    matrices = [one["rate"] for one in reports.get("matrices", [])]
    rows = summarize(reports, setting, len(text.tokenizer), arguments.reference)
    measured = {
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "rates": [] if arguments.ablate else rates(arguments.model, rows),
        "results": rows,
        "matrix_flops_per_second": matrices,
        "windows": reports,
    }
    return measured, table(rows)


def measure_losses(arguments: Arguments, setting: Setting, text: PreparedText) -> tuple[dict[str, Any], str]:
    """Whole trainings, one after another: what a result keeps, and the table."""
    tokens_a_step = arguments.rows * arguments.max_seq_length
    setting = replace(
        setting,
        tokens=arguments.equal_tokens,
        sentences=max(1, round(tokens_a_step / float(text.train.lengths.mean()))),
        learning_rate=arguments.learning_rate,
    )
    told = {**asdict(setting), "workdir": str(setting.workdir)}
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    reports = train_all(SCRIPT, arguments.contestants, told, seeds)
    rows, noise = compare_losses(reports, arguments.reference), seed_noise(reports)
    measured = {
        "equal_tokens": arguments.equal_tokens,
        "learning_rate": arguments.learning_rate,
        "noise": noise,
        "results": rows,
        "scores": reports,
    }
    return measured, loss_table(rows, noise)


def main() -> int:
    """Run the command line."""
    return run_with_flags(bench, Arguments, "benchmarks/throughput.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
