"""One GPU in under eight minutes, with nothing to download: `bash benchmarks/gpu.sh`.

Speed and MFU of base and large beside the stock Trainer, a run that is stopped and goes on, the same run
under FSDP2 with one process, and the demo. The text is words of the ready tokenizer, drawn by frequency, and
the encoder has read nothing: enough for speed, memory and equality, nothing of quality. The demo
reads its own text where `demo/fetch.py downloads` has fetched it. What does not fit into the time is named,
not waited for.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "benchmarks")]
import numpy as np  # noqa: E402
from contestants import SIZES, Setting  # noqa: E402
from flags import run_with_flags  # noqa: E402
from records import RESULTS, record, store  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from xpt.program.errors import XPTError  # noqa: E402
from xpt.program.settings import option  # noqa: E402

SENTENCES, WORDS = 20_000, 18
CONFIG = REPO / "configs" / "accelerate" / "fsdp2_1x8.yaml"
COMPARED = ["stock, best flags", "ours, phase 1", "ours, phase 2", "matrices"]


@dataclass
class Arguments:
    """What is measured."""

    models: list[str] | None = option(None, "Shapes whose speed is measured. Default: base, large.")
    rows: list[int] | None = option(None, "Packed sequences of a step, of each shape. Default: 256, 128.")
    rounds: int = option(4, "Turns of each contestant.")
    steps: int = option(4, "Steps of a turn; of each phase of the run that goes on: five times as many.")
    minutes: float = option(7.5, "In all. What has not begun by then does not run.")
    seed: int = option(0, "Of text, weights, order and masks.")
    results_dir: str = option(str(RESULTS), "Where gpu.json is kept, part after part.")

    def __post_init__(self) -> None:
        self.models, self.rows = self.models or ["base", "large"], self.rows or [256, 128]
        if unknown := set(self.models) - set(SIZES):
            raise XPTError(f"--models: {unknown.pop()!r} is none of: {', '.join(SIZES)}")
        if len(self.rows) < len(self.models):
            raise XPTError("--rows: give a number for each of --models")


@dataclass
class Bench:
    """One measurement of the machine: where it writes, what it is asked, and when it must end."""

    asked: Arguments
    folder: Path
    deadline: float

    @property
    def text(self) -> Path:
        """What all read."""
        return self.folder / "text.txt"

    def command(self, output: str, *flags: str) -> list[str]:
        """`train_xpt.py` over the text, both phases, with the first model."""
        setting = Setting(
            model=self.asked.models[0],
            corpus=(str(self.text),),
            column=None,
            tokenizer=str(REPO / "tokenizer"),
            workdir=self.folder,
            rows=min(32, self.asked.rows[0]),
            length=128,
            seed=self.asked.seed,
        )
        steps = str(5 * self.asked.steps)
        given = {
            "source_model_name_or_path": setting.recipe().source.source_model_name_or_path,
            "corpus": str(self.text),
            "tokenizer_name_or_path": setting.tokenizer,
            "validation_sentences": "500",
            "test_sentences": "100",
            "per_device_train_batch_size": str(setting.rows),
            "phase1_steps": steps,
            "phase2_steps": steps,
            "save_steps": str(self.asked.steps),
            "logging_steps": "1",
            "cache_dir": str(self.folder / "cache"),
            "output_dir": str(self.folder / output),
        }
        options = [token for name, value in given.items() for token in (f"--{name}", value)]
        return [str(REPO / "train_xpt.py"), *options, *flags]

    def run(self, command: Sequence[str], until: str | None = None) -> float:
        """Seconds of a Python command, stopped by SIGTERM at the first line that begins with `until`.

        Raises:
            RuntimeError: it failed, or there was no such line.
            subprocess.TimeoutExpired: time is over.
        """
        began, log = time.monotonic(), self.folder / "log.txt"
        environment = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"}
        with log.open("w") as out:
            process = subprocess.Popen([sys.executable, *command], stdout=out, stderr=out, env=environment)
            try:
                while until and process.poll() is None and f"\n{until}" not in log.read_text():
                    time.sleep(0.05)
                if until and process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.wait(max(1.0, self.deadline - time.monotonic()))
            except BaseException:
                process.kill()
                raise
        said = log.read_text()
        if (process.returncode != 0) != bool(until) or (until and f"\n{until}" not in said):
            raise RuntimeError(said.strip().splitlines()[-1] if said.strip() else "it said nothing")
        return round(time.monotonic() - began, 1)


def write_text(file: Path, seed: int) -> None:
    """Sentences of the ready tokenizer's own words, by their frequencies."""
    pieces = json.loads((REPO / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = [(piece[1:], score) for piece, score in pieces if len(piece) > 2 and piece[0] == "▁"]
    chance = np.exp([score for _, score in words])
    generator = np.random.default_rng(seed)
    drawn = generator.choice(len(words), (SENTENCES, WORDS), p=chance / chance.sum())
    lines = (" ".join(words[index][0] for index in row) + " 것이다." for row in drawn)
    file.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def speed(bench: Bench, model: str, rows: int) -> dict[str, Any]:
    """`throughput.py` on this text."""
    flags = ["--model", model, "--rows", str(rows), "--corpus", str(bench.text), "--name", "speed"]
    flags += ["--rounds", str(bench.asked.rounds), "--steps", str(bench.asked.steps)]
    flags += ["--store", "true", "--results_dir", str(bench.folder), "--contestants", *COMPARED]
    bench.run([str(REPO / "benchmarks" / "throughput.py"), *flags])
    print((bench.folder / "log.txt").read_text(encoding="utf-8"), flush=True)
    found = json.loads((bench.folder / "speed.json").read_text(encoding="utf-8"))
    return {key: found[key] for key in ("rows", "rounds", "steps", "results", "matrix_flops_per_second")}


def difference(bench: Bench, one: str, other: str) -> float:
    """The largest between two runs' final weights."""
    left, right = (load_file(bench.folder / name / "model.safetensors") for name in (one, other))
    assert left.keys() == right.keys()
    return max(float((left[name].float() - right[name].float()).abs().max()) for name in left)


def resume(bench: Bench) -> dict[str, Any]:
    """A run to its end; the same stopped within phase 2 and gone on with."""
    seconds = bench.run(bench.command("whole"))
    bench.run(bench.command("stopped"), until="phase2  step")
    bench.run(bench.command("stopped"))
    return {"seconds": seconds, "largest_difference": difference(bench, "whole", "stopped")}


def sharded(bench: Bench) -> dict[str, Any]:
    """The same run under FSDP2, in one process."""
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIG), "--num_processes", "1"]
    seconds = bench.run([*launch, *bench.command("sharded")])
    losses = {name: final_loss(bench.folder / name) for name in ("whole", "sharded")}
    return {"seconds": seconds, "test_loss": losses}


def demo(bench: Bench) -> dict[str, Any]:
    """`make demo`, on its own text where it is here."""
    output, fetched = bench.folder / "demo", REPO / "downloads" / "minilm"
    command = [str(REPO / "train_xpt.py"), str(REPO / "configs" / "demo.yaml"), "--output_dir", str(output)]
    if not fetched.exists():
        given = bench.command("demo")
        source = given[given.index("--source_model_name_or_path") + 1]
        command += ["--source_model_name_or_path", source, "--corpus", str(bench.text)]
        command += ["--corpus_column", "null", "--attribution", "null", "--source_num_layers", "2"]
        command += ["--vocab_size", "4000"]  # drawn words have fewer pieces
    seconds = bench.run(command)
    return {"own_text": fetched.exists(), "seconds": seconds, "test_loss": final_loss(output)}


def final_loss(folder: Path) -> float:
    """Of a finished run."""
    return float(json.loads((folder / "results.json").read_text(encoding="utf-8"))["test"]["loss"])


def measure(asked: Arguments, flags: Sequence[str]) -> str:
    """All parts, each kept as soon as there is a figure; what is printed last."""
    if flags:
        raise XPTError(f"{flags[0]}: nothing is told to train_xpt.py here; leave out -- and what follows")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked, Path(folder), time.monotonic() + 60 * asked.minutes)
        write_text(bench.text, asked.seed)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            **{
                f"speed, {model}": lambda model=model, rows=rows: speed(bench, model, rows)
                for model, rows in zip(asked.models, asked.rows, strict=False)
            },
            "resume": lambda: resume(bench),
            "FSDP2, one process": lambda: sharded(bench),
            "demo": lambda: demo(bench),
        }
        for name, part in parts.items():
            found[name] = attempt(part, bench.deadline)
            shown = {key: value for key, value in found[name].items() if not isinstance(value, (dict, list))}
            print(f"{name}: {shown or 'measured'}", flush=True)
            store("gpu", record("gpu.py", asked.seed, parts=found), Path(asked.results_dir))
    return f"{sum('failed' not in one for one in found.values())} of {len(found)} parts measured"


def attempt(part: Callable[[], dict[str, Any]], deadline: float) -> dict[str, Any]:
    """What a part gives, or why it gave nothing: the others are measured all the same."""
    if time.monotonic() > deadline:
        return {"failed": "no time was left"}
    try:
        return part()
    except subprocess.TimeoutExpired:
        return {"failed": "no time was left"}
    except (RuntimeError, OSError) as error:
        return {"failed": str(error)[:300]}


def main() -> int:
    """Run the command line."""
    return run_with_flags(measure, Arguments, "benchmarks/gpu.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
