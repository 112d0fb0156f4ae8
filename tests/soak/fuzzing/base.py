"""What every case of the fuzzer starts from, made once: sources, text in every format, a tokenizer, runs."""

import bz2
import csv
import gzip
import io
import json
import lzma
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import korean_sentences, tiny_config
from tiny_runs import flags
from transformers import BertForMaskedLM, RobertaForMaskedLM, set_seed

from train_xpt import main
from xpt.run.progress import PhaseProgress
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_training import train_tokenizer

SENTENCES = 300
TINY = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 2}


@dataclass(frozen=True)
class Base:
    """Folders of what is valid; a case copies what it damages."""

    folder: Path

    @property
    def text(self) -> Path:
        return self.folder / "korean.txt"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer"

    @property
    def stopped(self) -> Path:
        """A run that SIGTERM ended in its second phase."""
        return self.folder / "stopped"

    @property
    def whole(self) -> Path:
        """The same, undisturbed."""
        return self.folder / "whole"

    def source(self, family: str) -> Path:
        return self.folder / family

    def options(self) -> dict[str, Any]:
        """Options of a tiny run, without its folders."""
        return {
            "source_model_name_or_path": self.source("roberta"),
            "corpus": self.text,
            "tokenizer_name_or_path": self.tokenizer,
            "max_seq_length": 32,
            "per_device_train_batch_size": 2,
            "phase1_steps": 2,
            "phase2_steps": 3,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_steps": 1,
            "bf16": "false",
        }


def make_base(folder: Path) -> int:
    """Fill `folder`; in a child, so that the process that forks the cases has never computed anything."""
    base = Base(folder)
    for family, kind in (("roberta", RobertaForMaskedLM), ("bert", BertForMaskedLM)):
        set_seed(3)
        kind(tiny_config(family, **TINY)).save_pretrained(base.source(family))
    base.text.write_text("\n".join(korean_sentences(SENTENCES)), encoding="utf-8")
    save_tokenizer(train_tokenizer(korean_sentences(1500), 300), base.tokenizer)
    load_tokenizer(base.tokenizer)
    arguments = [*flags(base.options()), "--cache_dir", str(base.cache)]
    assert main([*arguments, "--output_dir", str(base.whole)]) == 0
    _stop_in_phase2(arguments, base.stopped)
    return 0


def _stop_in_phase2(arguments: list[str], folder: Path) -> None:
    step_end = PhaseProgress.on_step_end

    def stop(self: PhaseProgress, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step_end(self, args, state, control, **kwargs)
        if (self.phase, state.global_step) == ("phase2", 2):
            signal.raise_signal(signal.SIGTERM)

    PhaseProgress.on_step_end = stop
    assert main([*arguments, "--output_dir", str(folder)]) == 143
    PhaseProgress.on_step_end = step_end


# ---- text in every format --------------------------------------------------------------------------------


def _wiki(sentences: list[str]) -> bytes:
    body = "\n".join(
        f'<doc id="{i}" title="{s[:5]}">\n{s[:5]}\n\n{s}\n</doc>' for i, s in enumerate(sentences)
    )
    return body.encode()


def _dump(sentences: list[str]) -> bytes:
    page = "<page><title>문서 {0}</title><ns>0</ns><id>{0}</id><revision><id>{0}</id><text>{1}</text>"
    page += "</revision></page>"
    marked = (f"'''{sentence}''' [[링크]] {{{{틀}}}}" for sentence in sentences)
    pages = "".join(page.format(number, text) for number, text in enumerate(marked, 1))
    head = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ko">'
    return f"{head}<siteinfo><sitename>위키</sitename></siteinfo>{pages}</mediawiki>".encode()


def _jsonl(sentences: list[str]) -> bytes:
    return "\n".join(json.dumps({"id": i, "text": s}) for i, s in enumerate(sentences)).encode()


def _extractor_json(sentences: list[str]) -> bytes:
    url = "https://ko.wikipedia.org/wiki?curid="
    rows = (
        {"id": str(i), "url": f"{url}{i}", "title": s[:5], "text": f"{s[:5]}\n\n{s}"}
        for i, s in enumerate(sentences)
    )
    return "\n".join(map(json.dumps, rows)).encode()


def _table(sentences: list[str]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([("id", "text"), *enumerate(sentences)])
    return file.getvalue().encode()


def _tsv(sentences: list[str]) -> bytes:
    return "\n".join(["id\ttext", *(f"{i}\t{s}" for i, s in enumerate(sentences))]).encode()


def _quoted_tsv(sentences: list[str]) -> bytes:
    file = io.StringIO()
    csv.writer(file, "excel-tab").writerows(
        [("id", "text"), *((i, f'"{s}"\n{s}') for i, s in enumerate(sentences))]
    )
    return file.getvalue().encode()


def _parquet(sentences: list[str]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(len(sentences))), "text": sentences}), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[str]], bytes]] = {
    "a.txt": lambda sentences: "\n".join(sentences).encode(),
    "wiki_00": _wiki,
    "wiki_01": _extractor_json,
    "cr.txt": lambda sentences: "\r".join(sentences).encode(),
    "table.txt": _tsv,
    "a.json": _jsonl,
    "a.jsonl": _jsonl,
    "a.csv": _table,
    "a.tsv": _tsv,
    "b.tsv": _quoted_tsv,
    "a.parquet": _parquet,
    "a.xml": _dump,
    "a.xml-p1p300": _dump,
}
PACKING: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, 1, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".bz2": lambda data: bz2.compress(data, 1),
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def copy_folder(source: Path, target: Path) -> Path:
    """A copy that may be damaged."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target
