"""The sizing table of docs/scale.md, out of stored rates: `python docs/render.py` writes it.

Rates come from `benchmarks/results/*.json`. A result that knows some has a list `rates` of
`{"model": "base", "device": "cpu" or "gpu", "devices": 1, "phase": "phase1", "tokens_per_second": 1.0}`,
real tokens of the target language, padding not counted; the demo's results have its own. What no result has
is *not measured*; nothing is projected from one device to several, because what they lose in talking to each
other was not measured.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.training.trainable import set_trainable

DOCS = Path(__file__).parent
SCALE = DOCS / "scale.md"
RESULTS = DOCS.parent / "benchmarks" / "results"
DEMO = DOCS / "results" / "demo.json"
BEGIN, END = "<!-- sizing: docs/scale_table.py -->", "<!-- end of sizing -->"
VOCABULARY, DEMO_VOCABULARY = 32_000, 8_000
ROWS, DEMO_ROWS = 256, 8  # global batch size of configs/xpt_ko_4m.yaml and configs/demo.yaml
TOKENS = 1e9
PHASES = {"phase1": ("word_embeddings", "itl", "lm_head_bias"), "phase2": ("all",)}
SHAPES = {  # layers, width, heads, width of the feed-forward part
    "demo": (3, 384, 12, 1536),
    "mini": (6, 384, 12, 1536),
    "base": (12, 768, 12, 3072),
    "large": (24, 1024, 16, 4096),
}
SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")


NOTE = f"""\
Tokens/s: real tokens of the target language, padding not counted. GB per device: weights, gradients and
optimizer moments in float32, computed from the shape of the model (two ITLs and {VOCABULARY:,} pieces; the
demo has 3 layers and {DEMO_VOCABULARY:,} pieces). Activations come on top; `--dry_run true` measures them."""


@dataclass(frozen=True)
class Machine:
    """A row of the table."""

    name: str
    device: str
    devices: int
    model: str


MACHINES = (
    Machine("2 CPU cores", "cpu", 1, "demo"),
    Machine("2 CPU cores", "cpu", 1, "mini"),
    Machine("2 CPU cores", "cpu", 1, "base"),
    Machine("1 GPU", "gpu", 1, "base"),
    Machine("8 GPUs", "gpu", 8, "base"),
    Machine("64 GPUs", "gpu", 64, "base"),
    Machine("64 GPUs", "gpu", 64, "large"),
)


def stored_rates(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All rates that results know."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    rates = [rate for result in results if isinstance(result, dict) for rate in result.get("rates", ())]
    demo = json.loads(DEMO.read_text(encoding="utf-8")) if DEMO.exists() else {"phases": ()}
    return rates + [
        {
            "model": "demo",
            "device": "cpu",
            "devices": 1,
            "phase": phase["name"],
            "tokens_per_second": phase["tokens_per_second"],
        }
        for phase in demo["phases"]
    ]


@cache
def state_bytes(model: str, phase: str) -> int:
    """Weights, gradients and moments of a phase, float32; from the model's shape alone."""
    pieces = DEMO_VOCABULARY if model == "demo" else VOCABULARY
    with torch.device("meta"):
        made = XPTRobertaForMaskedLM(
            XPTRobertaConfig(vocab_size=pieces, **dict(zip(SHAPE, SHAPES[model], strict=True)))
        )
    set_trainable(made, PHASES[phase])
    return sum((16 if p.requires_grad else 4) * p.numel() for p in made.parameters())


def rates_of(rates: list[dict[str, Any]], model: str, device: str, devices: int) -> dict[str, float]:
    """Real tokens a second of each phase that was measured there."""
    wanted = {"model": model, "device": device, "devices": devices}
    return {rate["phase"]: rate["tokens_per_second"] for rate in rates if wanted.items() <= rate.items()}


def row(machine: Machine, rates: list[dict[str, Any]]) -> list[str]:
    """The cells of a machine."""
    found = rates_of(rates, machine.model, machine.device, machine.devices)
    speeds = [f"{found[phase]:,.0f}" if phase in found else "*not measured*" for phase in PHASES]
    known = "phase2" in found
    hours = f"{TOKENS / found['phase2'] / 3600:,.1f}" if known else "*not measured*"
    sizes = [state_bytes(machine.model, phase) / 1e9 for phase in PHASES]
    share = (DEMO_ROWS if machine.model == "demo" else ROWS) // machine.devices
    return [
        machine.name,
        machine.model,
        f"{machine.devices} x {share}" if machine.devices > 1 else f"{share}",
        *speeds,
        hours,
        " / ".join(f"{size:.2f}" for size in sizes),
        " / ".join(f"{size / machine.devices:.2f}" for size in sizes) if machine.devices > 1 else "",
    ]


def sizing(rates: list[dict[str, Any]]) -> str:
    """The table, and what its columns mean."""
    head = [
        "machine",
        "model",
        "global batch size of the recipe (packed sequences)",
        "phase 1 (tokens/s)",
        "phase 2 (tokens/s)",
    ]
    head += [
        "phase 2, 10^9 tokens (hours)",
        "DDP, phase 1 / 2 (GB per device)",
        "FSDP2, phase 1 / 2 (GB per device)",
    ]
    lines = [head, ["-"] * len(head), *(row(machine, rates) for machine in MACHINES)]
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([*rows, "", NOTE])


def rendered(text: str, rates: list[dict[str, Any]] | None = None) -> str:
    """docs/scale.md with the table of the stored rates."""
    head, rest = text.split(BEGIN)
    table = sizing(stored_rates() if rates is None else rates)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"
