"""Results as runs write them, with numbers chosen by hand, for the tests of the card."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

VERSIONS = {"python": "3.11.7", "xpt": "0.1.0"}
COMMIT = "e2da8e2f811d1448a5b465c236feacd80ffbac7b"


def _split(sentences: int) -> dict[str, Any]:
    return {"sentences": sentences, "characters": 31 * sentences, "available": sentences}


POST_TRAINING: dict[str, Any] = {
    "command": "python train_xpt.py recipe.yaml --corpus news.txt org/ko-text --output_dir output/ko",
    "seed": 42,
    "versions": VERSIONS,
    "precision": "bf16",
    "source": {"name": "FacebookAI/roberta-base", "family": "roberta", "revision": COMMIT, "layers": 12},
    "transplant": {"layers": 6, "layers_copied": True, "notes": []},
    "corpus": {
        "inputs": [
            {"file": "news.txt", "bytes": 5},
            {"dataset": "org/ko-text", "config": None, "revision": "abc123"},
        ],
        "splits": {"train": _split(91_250), "validation": _split(480), "test": _split(2_010)},
        "scripts": {"Hangul": 0.973, "Latin": 0.027},
        "entries": [
            {"name": "news.txt", "weight": 0.75, "splits": {"train": _split(68_437)}},
            {"name": "org/ko-text", "weight": 0.25, "splits": {"train": _split(22_813)}},
        ],
    },
    "tokenizer": {"name": None, "vocab_size": 8_000, "train_tokens": 1_654_321},
    "parameters": {"word_embeddings": 3_000_000, "itl": 3_500_000, "encoder": 5_300_123},
    "adapter": None,
    "phases": [
        {"name": "phase1", "train": ["word_embeddings", "itl"], "steps": 1_440, "tokens": 440_123,
         "learning_rate": 0.001, "eval_loss": 5.25},
        {"name": "phase2", "train": ["all"], "steps": 1_800, "tokens": 800_456, "learning_rate": 0.0007,
         "eval_loss": 4.125},
    ],
    "unigram_loss": 6.6254,
    "shuffled_context_loss": 6.9376,
    "test": {"loss": 4.0625, "perplexity": 58.1194, "masked_tokens": 12_345},
    "fills": [
        {"sentence": "국회는 오늘 <mask> 검토하였다.", "answer": "법을", "before": [["##다", 0.05]],
         "after": [["법안을", 0.4375], ["법을", 0.25], ["##을", 0.0625], ["안", 0.03]]},
    ],
    "settings": {"language": "ko", "num_itl_in": None, "num_itl_out": None, "attribution": None,
                 "model_license": None, "output_dir": "output/ko"},
}  # fmt: skip

TRELM = {
    **POST_TRAINING,
    "transplant": {
        "layers": 6, "layers_copied": True, "notes": [], "architecture": "trelm", "num_languages": 2,
        "default_language": 1, "num_itl_in": 0, "num_itl_out": 0,
        "groups": {"word_embeddings": {"copied": 0, "new": 6_500}, "itl": {"copied": 0, "new": 0},
                   "encoder": {"copied": 7_250, "new": 0}, "language_embeddings": {"copied": 0, "new": 768},
                   "tri": {"copied": 1_125, "new": 0}},
    },
}  # fmt: skip


def klue_results(task: str, metrics: dict[str, float | None], sha256: str = "5" * 64, **changes: Any) -> dict:
    """Results of a fine-tuning on whole official files."""
    sizes = {"train": 11_668, "validation": 519}
    data = {
        split: {"origin": f"{split}.json.xz", "revision": None, "examples": size, "records": size,
                "official_records": size, "whole": True, "sha256": "7" * 64, "warnings": []}
        for split, size in sizes.items()
    }  # fmt: skip
    made = {
        "kind": "klue",
        "task": task,
        "reported_as": task,
        "changed": {},
        "command": f"python finetune_klue.py --model_name_or_path output/ko --task {task}",
        "seed": 7,
        "versions": VERSIONS,
        "precision": "fp32",
        "model": {"name": "ko", "revision": None, "sha256": sha256, "family": "xpt-roberta",
                  "parameters": 12_291_457, "trained_parameters": 12_291_457, "lora": None},
        "data": data,
        "metrics": metrics,
        "variants": {},
        "steps": 1_459,
        "best_step": 1_094,
        "settings": {"output_dir": f"output/{task}"},
    }  # fmt: skip
    return deepcopy({**made, **changes})


STS = klue_results("sts", {"sts/pearsonr": 45.6906, "sts/f1": 59.5556}, variants={"sts/spearmanr": 46.5222})
LORA = {"r": 4, "alpha": 16, "dropout": 0.1, "target_modules": "x", "adapter_parameters": 24_576,
        "new_token_rows": 0}  # fmt: skip
ADAPTER = klue_results(
    "ynat",
    {"ynat/macro_f1": 73.4815},
    model={"name": "klue/roberta-base", "revision": "02f94ba5e3fcb7e2a58a390b8639b0fac974a8da",
           "sha256": "6" * 64, "family": "roberta", "parameters": 110_620_679,
           "trained_parameters": 600_711, "lora": LORA},
    changed={"evaluations_per_epoch": 1.0},
    command="python finetune_klue.py --model_name_or_path klue/roberta-base --task ynat --lora true",
)  # fmt: skip
for _split_name, _used, _all in (("train", 2_000, 45_678), ("validation", 1_000, 9_107)):
    ADAPTER["data"][_split_name] |= {
        "origin": f"klue/klue ynat {_split_name}", "revision": "ed7d0a1", "records": _used,
        "official_records": _all, "whole": False,
    }  # fmt: skip


def folder_of(folder: Path, results: dict | None, config: dict | None, *others: str) -> Path:
    """A folder with these files, and empty ones of other names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("results.json", results), ("config.json", config)):
        if content is not None:
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for name in others:
        (folder / name).write_text("{}", encoding="utf-8")
    return folder
