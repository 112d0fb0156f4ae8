"""The same text prepared twice, by one machine's `--corpus` and in stages by datatrove: equal sentences?

    python experiments/scale/prepare.py TEXT ... --workdir DIR

Writes prepare.json beside this file: counts, SHA-256 of the sorted sentences of each split, CPU seconds and
peak memory. Seconds are those of CPUs, which other work on the machine hardly changes.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from xpt.program.environment import describe_hardware
from xpt.text.corpus import SPLIT_NAMES, Corpus, CorpusSettings, build_corpus
from xpt.text.shards.index import INDEX_FILE, ShardIndex
from xpt.text.shards.writing import read_ids

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]


def sorted_sha256(sentences: list[bytes]) -> str:
    """Of all lines in the order of their bytes."""
    return hashlib.sha256(b"\n".join(sorted(sentences))).hexdigest()


def alone(text: list[str], folder: Path, results) -> None:
    """Build the corpus as `train_xpt.py --corpus` does; CPU seconds with those of its workers."""
    start = sum(os.times()[:4])
    corpus = build_corpus(CorpusSettings(corpus=tuple(text)), folder, progress=False)
    memory = max(peak_mib(resource.RUSAGE_SELF), peak_mib(resource.RUSAGE_CHILDREN))
    results.put((str(corpus.folder), sum(os.times()[:4]) - start, memory))


def peak_mib(who: int) -> float:
    """Peak resident memory, of this process or of the largest of its children."""
    return round(resource.getrusage(who).ru_maxrss / 1024, 1)


def staged(text: list[str], folder: Path, arguments: argparse.Namespace) -> float:
    """Run the command; CPU seconds of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        sys.executable,
        "-m",
        "xpt.command",
        "shards",
        "--corpus",
        *text,
        "--output_dir",
        str(folder),
    ]
    command += ["--tokenizer_name_or_path", "tokenizer", "--workers", str(arguments.workers)]
    command += ["--partitions", str(arguments.partitions)]
    subprocess.run(command, cwd=REPO, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def training_text(folder: Path, tokenizer) -> list[bytes]:
    """The training sentences of a prepared folder, from its ids."""
    found = []
    for shard in ShardIndex.parse((folder / INDEX_FILE).read_bytes()).shards:
        sentences = read_ids(folder / shard.file.name)
        ids = [sentences[index].tolist() for index in range(len(sentences))]
        found += [line.encode() for line in tokenizer.decode_batch(ids, skip_special_tokens=True)]
    return found


def main() -> None:
    from xpt.text.tokenizer import load_tokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="+")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=4)
    arguments = parser.parse_args()
    text = [str(Path(name).resolve()) for name in arguments.text]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=alone, args=(text, arguments.workdir / "alone", results))
    child.start()
    built, seconds, memory = results.get()
    child.join()
    corpus, folder = Corpus(Path(built)), arguments.workdir / "shards"
    staged_seconds = staged(text, folder, arguments)
    tokenizer = load_tokenizer("tokenizer").backend_tokenizer
    # What the tokenizer cannot give back as it was is compared in its words on both sides.
    train = [
        line.encode()
        for line in tokenizer.decode_batch(
            [
                one.ids
                for one in tokenizer.encode_batch(list(corpus.split("train")), add_special_tokens=False)
            ],
            skip_special_tokens=True,
        )
    ]
    found = Corpus(folder / "corpus")
    hashes = {"alone": {"train": sorted_sha256(train)}}
    hashes["staged"] = {"train": sorted_sha256(training_text(folder, tokenizer))}
    for name in SPLIT_NAMES[1:]:
        for kind, one in (("alone", corpus), ("staged", found)):
            hashes[kind][name] = sorted_sha256([line.encode() for line in one.split(name)])
    reports = [one.report for one in (corpus, found)]
    for report in reports:
        del report["splits"]["train"]["sha256"]
    index = ShardIndex.parse((folder / INDEX_FILE).read_bytes())
    result = {
        "command": f"python experiments/scale/prepare.py {' '.join(Path(name).name for name in text)} "
        f"--workers {arguments.workers} --partitions {arguments.partitions}",
        "versions": {name: version(name) for name in ("datatrove", "pyarrow", "tokenizers")},
        "hardware": describe_hardware(),
        "split_seed": 0,
        "bytes": sum(Path(name).stat().st_size for name in text),
        "sentences": {name: report["splits"][name]["sentences"] for name in SPLIT_NAMES},
        "dropped": report["dropped"],
        "sorted_sha256": hashes,
        "reports_equal": reports[0] == reports[1],
        "alone": {"cpu_seconds": round(seconds, 1), "peak_mib_of_largest_process": memory},
        "staged": {
            "cpu_seconds": round(staged_seconds, 1),
            "peak_mib_of_largest_process": peak_mib(resource.RUSAGE_CHILDREN),
            "shards": len(index.shards),
            "tokens": sum(shard.tokens for shard in index.shards),
            "shard_bytes": sum(shard.file.bytes for shard in index.shards),
        },
    }
    (HERE / "prepare.json").write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", "utf-8")
    print(json.dumps(result, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
