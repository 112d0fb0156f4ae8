"""The last stage, one task: counts and reports of all tasks are added up, and the index ends the folder."""

import shutil
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpt.corpus.build import refuse_empty
from xpt.corpus.report import describe_corpus, describe_passed_over
from xpt.corpus.select import Selection
from xpt.corpus.sentences import Tally
from xpt.corpus.settings import SPLIT_NAMES, digest_json
from xpt.corpus.store import text_file, write_report
from xpt.corpus.stream import WrittenSplit
from xpt.manifest import file_sha256
from xpt.shards.held_out import HELD_OUT
from xpt.shards.index import ShardIndex, read_shard
from xpt.shards.job import Job, add_tally, read_json
from xpt.shards.opening import CORPUS, COUNTS, TOKENIZER
from xpt.shards.writing import stored_file
from xpt.tokenizer import load_tokenizer, tokenizer_fingerprint


class _Counted(Selection):
    """A selection of which only the counts are known."""

    sentences: dict[str, list[int]]  # by split, of each entry

    def kept(self, name: str) -> list[int]:
        return self.sentences[name]


@dataclass(frozen=True)
class Finish:
    """Writes `corpus/corpus.json`, the counts of ids and `shards.json`, and removes the work folder."""

    job: Job

    def __call__(self, task: int, tasks: int) -> None:
        job = self.job
        encoded = self._facts("encoded")
        counts = sum(np.load(job.work / "encoded" / f"{p:05d}.npy") for p in range(job.partitions))
        np.save(job.output / COUNTS, counts)
        shards = tuple(read_shard(shard) for facts in encoded for shard in facts["shards"])
        tokenizer = tokenizer_fingerprint(load_tokenizer(str(job.output / TOKENIZER)))
        report = self._report(encoded)
        fingerprint = digest_json(
            [
                job.settings.content_fields(),
                {name: report["splits"][name]["sha256"] for name in HELD_OUT},
                [shard.file.sha256 for shard in shards],
                tokenizer,
            ]
        )
        write_report(job.output / CORPUS, fingerprint, report)
        small = [
            path.relative_to(job.output).as_posix()
            for folder in (job.output / CORPUS, job.output / TOKENIZER)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        files = tuple(stored_file(job.output, name) for name in [*small, COUNTS])
        language = job.settings.language
        ShardIndex(shards, files, tokenizer, len(counts), fingerprint, language).write(job.output)
        shutil.rmtree(job.work)

    def _facts(self, stage: str) -> list[Any]:
        return [read_json(self.job.work / stage / f"{p:05d}.json") for p in range(self.job.partitions)]

    def _report(self, encoded: list[Any]) -> dict[str, Any]:
        job, entries = self.job, len(self.job.inputs)
        tallies, documents = [Tally() for _ in range(entries)], 0
        for path in sorted((job.work / "clean").glob("*.json")):
            facts = read_json(path)
            documents += facts["documents"]
            for tally, part in zip(tallies, facts["tallies"], strict=True):
                add_tally(tally, part)
        held_out = read_json(job.work / "limits" / "held_out.json")
        characters = {name: [Counter(one) for one in held_out[name]["characters"]] for name in HELD_OUT}
        characters["train"] = [Counter[str]() for _ in range(entries)]
        for facts in encoded:
            for total, part in zip(characters["train"], facts["characters"], strict=True):
                total.update(part)
        kept = {name: held_out[name]["kept"] for name in HELD_OUT}
        kept["train"] = np.sum([facts["kept"] for facts in encoded], axis=0).tolist()
        selection = self._selection(kept)
        refuse_empty(job.settings, selection, tallies, documents)
        hashes = {name: file_sha256(text_file(job.output / CORPUS, name)) for name in HELD_OUT}
        hashes["train"] = digest_json([facts["sha256"] for facts in encoded])
        splits = {
            name: WrittenSplit(sum(kept[name]), sum(map(Counter.total, characters[name])), hashes[name])
            for name in SPLIT_NAMES
        }
        of_entries = [{name: characters[name][entry] for name in SPLIT_NAMES} for entry in range(entries)]
        inputs = [list(sources) for sources in job.inputs]
        report = describe_corpus(job.settings, inputs, documents, tallies, selection, splits, of_entries)
        describe_passed_over(report, list(job.passed_over))
        return report

    def _selection(self, kept: dict[str, list[int]]) -> Selection:
        facts = self._facts("kept")
        duplicates, leaked = (
            np.sum([one[what] for one in facts], axis=0) for what in ("duplicates", "leaked")
        )
        none = np.zeros(0, np.uint8)
        selection = _Counted(none, none, duplicates, leaked, np.zeros_like(duplicates))
        selection.sentences = kept
        for name in SPLIT_NAMES:
            selection.available[name] = np.sum([one["available"][name] for one in facts], axis=0).tolist()
        return selection
