"""How often a native model's first fill of a masked word stays the same in int8.

    python experiments/native/int8.py NATIVE_FOLDER TEXT [--sentences 200] [--seed 0] [--output FILE]

TEXT has a sentence a line, plain or .xz. One token of each chosen sentence is masked. The model is exported
by torch's exporter, run in onnxruntime in fp32 and, its matrices quantized dynamically, in int8; both are
compared with torch.
"""

import argparse
import json
import lzma
import random
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModelForMaskedLM, AutoTokenizer

from xpt.program.environment import describe_hardware, describe_versions

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
CHARACTERS = (20, 200)  # of a sentence that is chosen


def export_onnx(model: Any, path: Path) -> None:
    """Write a stock model with (batch, length) `input_ids` and `attention_mask`, both sizes free, as ONNX."""
    ids = torch.full((2, 8), 5)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    names = ("input_ids", "attention_mask")
    before, model.config.return_dict = model.config.return_dict, False
    try:
        torch.onnx.export(
            model.eval(),
            (),
            str(path),
            kwargs={"input_ids": ids, "attention_mask": torch.ones_like(ids)},
            input_names=list(names),
            output_names=["output"],
            dynamic_shapes=dict.fromkeys(names, sizes),
            dynamo=True,
            verbose=False,
        )
    finally:
        model.config.return_dict = before


def onnx_output(path: Path, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> np.ndarray:
    """The first output of an ONNX model, on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
    return session.run(None, given)[0]


def masked_sentences(tokenizer: Any, text: Path, count: int, seed: int) -> list[torch.Tensor]:
    """(1, length) ids of sentences that are chosen by the seed, one token of each masked."""
    opened = lzma.open if text.suffix == ".xz" else open
    with opened(text, "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    # Lines of markup (<doc ...>) are no sentences.
    lines = [line for line in lines if CHARACTERS[0] <= len(line) <= CHARACTERS[1] and line[0] != "<"]
    chooser, rows = random.Random(seed), []
    for line in chooser.sample(lines, count):
        ids = tokenizer(line, truncation=True, return_tensors="pt")["input_ids"]
        ids[0, chooser.randrange(1, ids.shape[1] - 1)] = tokenizer.mask_token_id
        rows.append(ids)
    return rows


def compare(folder: Path, text: Path, count: int, seed: int) -> dict[str, Any]:
    """Top fills of torch, onnxruntime and onnxruntime in int8 for the same masks."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = masked_sentences(tokenizer, text, count, seed)
    with tempfile.TemporaryDirectory() as place:
        whole, small = Path(place, "fp32.onnx"), Path(place, "int8.onnx")
        export_onnx(model, whole)
        quantize_dynamic(str(whole), str(small), weight_type=QuantType.QInt8)
        sessions = [
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            for path in (whole, small)
        ]
        fills: list[list[int]] = []
        furthest = 0.0
        for ids in rows:
            at = int((ids[0] == tokenizer.mask_token_id).nonzero()[0, 0])
            with torch.no_grad():
                expected = model(ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
            given = {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()}
            fp32, int8 = (session.run(None, given)[0][0] for session in sessions)
            furthest = max(furthest, float(np.abs(fp32 - expected).max()))
            fills.append([int(logits[at].argmax()) for logits in (expected, fp32, int8)])
    return {
        "sentences": len(rows),
        "same_top_fill_fp32": sum(torch_ == fp32 for torch_, fp32, _ in fills) / len(fills),
        "same_top_fill_int8": sum(torch_ == int8 for torch_, _, int8 in fills) / len(fills),
        "max_abs_difference_fp32": furthest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found = compare(given.folder, given.text, given.sentences, given.seed)
    record = {
        "command": f"python experiments/native/int8.py {given.folder.name} {given.text.name} "
        f"--sentences {given.sentences} --seed {given.seed}",
        "seed": given.seed,
        "versions": {**describe_versions(), **{name: version(name) for name in PACKAGES}},
        "hardware": describe_hardware(),
        **found,
    }
    text = json.dumps(record, ensure_ascii=False, indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
