"""`train_xpt.py` in several real processes, and what each of them noted."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from places import REPO

SENTENCES = 150  # to train on: a phase of 20 steps ends in the middle of an epoch, and not of the first
SPECIAL = {"<s>": 0, "</s>": 2, "<pad>": 1}


@dataclass
class Launch:
    """What torchrun left: its exit code and report, and what each process printed."""

    code: int
    report: str
    logs: Path

    def printed(self, rank: int) -> str:
        return "".join(file.read_text() for file in sorted(self.logs.glob(f"*/attempt_0/{rank}/std*.log")))

    def __str__(self) -> str:
        """All of it, for whoever reads of a failure: the process that ended first may have said why."""
        ranks = sorted(folder.name for folder in self.logs.glob("*/attempt_0/*"))
        return "\n".join([*(f"rank {rank}:\n{self.printed(int(rank))}" for rank in ranks), self.report])


def torchrun(arguments: list[str], notes: Path, processes: int = 2, **environment: str) -> Launch:
    """Run `train_xpt.py` in several processes; a hang fails."""
    logs = notes.with_name(f"{notes.name}-logs-{len(list(notes.parent.glob('*-logs-*')))}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["--redirects=3", f"--log-dir={logs}", str(REPO / "tests" / "rank_probe.py"), str(notes)]
    paths = os.pathsep.join([str(REPO), str(REPO / "tests"), os.environ.get("PYTHONPATH", "")])
    settings = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": paths, **environment}
    done = subprocess.run(
        [*command, *arguments],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    return Launch(done.returncode, done.stderr, logs)


def noted(folder: Path, rank: int, kind: str, phase: str | None = None) -> list[dict]:
    file = folder / f"rank-{rank}.jsonl"
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [entry for entry in entries if entry["kind"] == kind and phase in (None, entry["phase"])]


def fed_rows(folder: Path, processes: int, phase: str | None = None) -> list[tuple]:
    """(id, label) of every row that the model was fed in training, without padding, in the stream's order."""
    by_rank = [noted(folder, rank, "batch", phase) for rank in range(processes)]
    batches = itertools.chain.from_iterable(zip(*by_rank, strict=True))
    return [
        tuple((i, label) for i, label in zip(ids, labels, strict=True) if i != SPECIAL["<pad>"])
        for batch in batches
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    ]


def sentences_of(rows: list[tuple]) -> list[tuple[int, ...]]:
    """The sentences that rows hold, masked tokens filled in again from their labels."""
    tokens = [i if label == -100 else label for row in rows for i, label in row]
    found, sentence = [], []
    for token in tokens:
        sentence.append(token)
        if token == SPECIAL["</s>"]:
            found.append(tuple(sentence))
            sentence = []
    return found


def assert_each_sentence_once_an_epoch(folder: Path, processes: int) -> None:
    expected = Counter(tuple(ids) for ids in noted(folder, 0, "examples")[0]["ids"])
    seen = sentences_of(fed_rows(folder, processes))
    size = expected.total()
    epochs = [seen[start : start + size] for start in range(0, len(seen), size)]
    assert len(epochs) > 2
    for epoch in epochs[:-1]:
        assert Counter(epoch) == expected
    assert Counter(epochs[-1]) <= expected


def recipe_maker(options, tmp_path_factory) -> Callable[..., list[str]]:
    """Give `recipe(dropout, **changes)` the flags of a run that spans epochs, with a cache of its own."""
    sources: dict[float, Path] = {}
    cache = tmp_path_factory.mktemp("cache")

    def make(dropout: float, **changes) -> list[str]:
        given = options()
        plain = Path(given[given.index("--source_model_name_or_path") + 1])
        if dropout not in sources:
            sources[dropout] = tmp_path_factory.mktemp("dropout")
            for file in plain.iterdir():
                (sources[dropout] / file.name).write_bytes(file.read_bytes())
            config = json.loads((plain / "config.json").read_text())
            config |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
            (sources[dropout] / "config.json").write_text(json.dumps(config))
        settings = {
            "source_model_name_or_path": sources[dropout],
            "cache_dir": cache,
            "train_sentences": SENTENCES,
            "vocab_size": 200,
            "phase1_steps": 20,
            "phase2_steps": 20,
            "logging_steps": 1,
            "save_steps": 6,
        }
        return options(**{**settings, **changes})

    return make
