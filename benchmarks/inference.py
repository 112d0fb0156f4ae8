"""How fast an exported encoder answers: torch, torch.compile, onnxruntime in float32 and int8.

    python benchmarks/inference.py --model base

Measured is the native export of an XPT model (12 English layers and two ITLs: 14 layers) beside a stock one
of 12 layers; weights are random, which changes no time. Engines take turns, call by call.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "benchmarks"), str(REPO / "experiments" / "native")]
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from contestants import HEAD_SIZE, ITLS, SIZES  # noqa: E402
from int8 import export_onnx  # noqa: E402
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: E402
from records import record, store  # noqa: E402
from transformers import RobertaConfig, RobertaModel  # noqa: E402

from configuration_xpt import XPTRobertaConfig  # noqa: E402
from modeling_xpt import XPTRobertaModel  # noqa: E402
from xpt.program.options import OptionParser  # noqa: E402
from xpt.program.script import run_program  # noqa: E402
from xpt.program.settings import option  # noqa: E402
from xpt.transplant.native_model import to_native  # noqa: E402

VOCAB_SIZE = 32_000
Engine = Callable[[torch.Tensor, torch.Tensor], Any]


@dataclass
class Arguments:
    """What is measured."""

    model: str = option("base", "Shape of the English encoder.", choices=list(SIZES))
    length: int = option(128, "Tokens of a sequence at batch 32.")
    latency_length: int = option(32, "Tokens of the single sequence.")
    rounds: int = option(15, "Calls of each engine, after three that are not counted.")
    store: bool = option(False, "Keep the result in benchmarks/results.")


def models(size: str) -> dict[str, Any]:
    """The exported XPT model and a stock one of the same width."""
    layers, hidden = SIZES[size]
    shape = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // HEAD_SIZE[size],
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
    }
    torch.manual_seed(0)
    xpt = XPTRobertaModel(XPTRobertaConfig(**shape), add_pooling_layer=False)
    stock = RobertaModel(RobertaConfig(**shape), add_pooling_layer=False)
    return {
        f"XPT, RoBERTa export, {layers + ITLS} layers": to_native(xpt).eval(),
        f"stock RoBERTa, {layers} layers": stock.eval(),
    }


def engines(model: Any, folder: Path) -> dict[str, Engine]:
    """Each way to run a model, as a function of ids and attention mask."""
    whole, small = folder / "fp32.onnx", folder / "int8.onnx"
    export_onnx(model, whole)
    quantize_dynamic(str(whole), str(small), weight_type=QuantType.QInt8)
    compiled = torch.compile(model)

    def by_torch(run: Any) -> Engine:
        def call(ids: torch.Tensor, mask: torch.Tensor) -> Any:
            with torch.inference_mode():
                return run(ids, attention_mask=mask)

        return call

    def by_onnxruntime(path: Path) -> Engine:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

        def call(ids: torch.Tensor, mask: torch.Tensor) -> Any:
            return session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})

        return call

    return {
        "torch": by_torch(model),
        "torch.compile": by_torch(compiled),
        "onnxruntime": by_onnxruntime(whole),
        "onnxruntime, int8": by_onnxruntime(small),
    }


def seconds(calls: dict[str, Engine], batch: int, length: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each call; one engine after the other, round after round."""
    ids = torch.randint(5, VOCAB_SIZE, (batch, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call(ids, mask)
            if turn >= 3:
                taken[name].append(time.perf_counter() - start)
    return taken


def bench(arguments: Arguments) -> str:
    """Measure, keep where asked; the table."""
    calls: dict[str, Engine] = {}
    with TemporaryDirectory() as folder:
        for name, model in models(arguments.model).items():
            place = Path(folder, str(len(calls)))
            place.mkdir()
            calls |= {f"{name}: {engine}": call for engine, call in engines(model, place).items()}
        single = seconds(calls, 1, arguments.latency_length, arguments.rounds)
        many = seconds(calls, 32, arguments.length, arguments.rounds)
    rows = {
        name: {
            "milliseconds_at_batch_1": 1000 * statistics.median(single[name]),
            "slowest_milliseconds": 1000 * max(single[name]),
            "sequences_per_second_at_batch_32": 32 / statistics.median(many[name]),
        }
        for name in calls
    }
    if arguments.store:
        lengths = {"latency_length": arguments.latency_length, "length": arguments.length}
        result = record("inference.py", 0, **lengths, rounds=arguments.rounds, results=rows)
        result["versions"]["onnxruntime"] = version("onnxruntime")
        store(f"inference-{arguments.model}", result)
    return "\n".join(
        f"{name:48} {row['milliseconds_at_batch_1']:7.1f} ms at batch 1   "
        f"{row['sequences_per_second_at_batch_32']:7.1f} sequences/s at batch 32"
        for name, row in rows.items()
    )


def main() -> int:
    """Run the command line."""
    parser = OptionParser((Arguments,), "benchmarks/inference.py", __doc__)
    return run_program(lambda stop: bench(parser.read(sys.argv[1:], Path).parts[0]))


if __name__ == "__main__":
    sys.exit(main())
