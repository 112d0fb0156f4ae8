"""A run of finetune_klue.py on a hand-made official file, small enough to be learned by heart."""

import json
from pathlib import Path

from finetune_klue import main

PREMISES = ["국회는 오늘 법을 검토하였다.", "학생은 어제 책을 빠르게 읽었다.", "회사는 새로 기관을 만들었다."]
HYPOTHESES = {
    "entailment": "그것은 참이다.",
    "contradiction": "아무도 없었다.",
    "neutral": "서울에서 열렸다.",
}


def nli_file(path: Path, count: int = 16) -> Path:
    labels = list(HYPOTHESES)
    rows = [
        {
            "guid": f"klue-nli-v1_{index:05d}",
            "premise": f"{PREMISES[index % len(PREMISES)]} {index}번",
            "hypothesis": HYPOTHESES[labels[index % 3]],
            "gold_label": labels[index % 3],
        }
        for index in range(count)
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def fine_tune(folder: Path, output: Path, **changes) -> int:
    data = nli_file(output.parent / "klue-nli-v1.1_train.json")
    flags = {
        "model_name_or_path": folder,
        "task": "nli",
        "output_dir": output,
        "train_file": data,
        "validation_file": data,
        "learning_rate": 4e-3,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 50,
        "evaluations_per_epoch": 0,  # one, at the end
        "early_stopping_patience": 0,
        "warmup_steps": 5,
        "max_seq_length": 32,
        "bf16": "false",
        "length_grouping": "false",  # lengths tell labels here: a batch would have one of them
        "use_cpu": "true",
        "report_to": "none",
        **changes,
    }
    return main([part for name, value in flags.items() for part in (f"--{name}", str(value))])
