"""Small corpora in every format, for the corpus tests."""

import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from xpt.text.corpus import SPLIT_NAMES, Corpus, CorpusSettings, build_corpus

PLACES = ("서울", "부산", "대구", "인천", "광주", "대전", "울산", "세종", "경주", "전주")
PEOPLE = ("선생님", "학생", "의사", "가수", "화가", "농부", "어부", "기자", "작가", "군인")
DEEDS = ("책을 읽었다", "노래를 불렀다", "길을 걸었다", "밥을 먹었다", "그림을 그렸다")


def sentence(index: int) -> str:
    """A different Korean sentence for every index."""
    place, person, deed = PLACES[index % 10], PEOPLE[index // 10 % 10], DEEDS[index // 100 % 5]
    return f"{place}에 사는 {person}은 {index}번째 날에 {deed}."


SENTENCES = [sentence(index) for index in range(400)]


def build_from(path: Path, cache: Path, **options) -> Corpus:
    return build_corpus(CorpusSettings(corpus=(str(path),), **options), cache, progress=False)


def text_of(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def contents(corpus: Corpus) -> dict[str, list[str]]:
    return {name: list(corpus.split(name)) for name in SPLIT_NAMES}


def everything(corpus: Corpus) -> list[str]:
    return sorted(line for lines in contents(corpus).values() for line in lines)


def as_jsonl(rows: list[str]) -> bytes:
    return "".join(json.dumps({"id": 1, "text": row}, ensure_ascii=False) + "\n" for row in rows).encode()


def as_csv(rows: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([["id", "text"], *([index, row] for index, row in enumerate(rows))])
    return out.getvalue().encode()


def as_tsv(rows: list[str]) -> bytes:
    return "".join(["id\ttext\n", *(f"{index}\t{row}\n" for index, row in enumerate(rows))]).encode()


def as_parquet(rows: list[str] | pa.Array) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(len(rows))), "text": rows}), out, row_group_size=100)
    return out.getvalue()


WRITERS = {
    ".txt": lambda rows: "".join(f"{row}\n" for row in rows).encode(),
    ".jsonl": as_jsonl,
    ".csv": as_csv,
    ".tsv": as_tsv,
    ".parquet": as_parquet,
}
PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}
