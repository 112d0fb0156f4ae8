"""Tensors that several processes share out by rows, in files that any number of processes read.

A process owns consecutive rows of a tensor and writes them into a file of its own:

    optimizer-00001-of-00002.safetensors    rows, under the tensor's name
    its header                              of each name the first row, and how many rows the tensor has

A tensor without such an entry is whole. Whoever reads asks for rows, and gets them from whatever files hold
some, so that the number of processes may be another one each time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

HEADER = "rows"


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop - 1` of a tensor that has `total` of them."""

    start: int
    stop: int
    total: int

    @classmethod
    def of(cls, total: int, rank: int, processes: int) -> "Rows":
        """Those of process `rank`: equal shares, rounded up, so that the last ones may get few or none."""
        share = -(-total // processes)
        return cls(min(rank * share, total), min((rank + 1) * share, total), total)

    def __len__(self) -> int:
        return self.stop - self.start


def shard_name(stem: str, rank: int, processes: int) -> str:
    """The file of one process, counted from 1 as in the shards of a large model."""
    return f"{stem}-{rank + 1:05d}-of-{processes:05d}.safetensors"


def save_rows(path: Path, tensors: Mapping[str, tuple[torch.Tensor, Rows]]) -> None:
    """Write the rows that a process owns: (rows of the tensor, which ones), by name."""
    header = {name: [rows.start, rows.total] for name, (_, rows) in tensors.items()}
    kept = {name: tensor.detach().cpu().contiguous() for name, (tensor, _) in tensors.items()}
    save_file(kept, path, metadata={HEADER: json.dumps(header)})


@dataclass(frozen=True)
class _Part:
    file: Path
    rows: Rows
    row_shape: tuple[int, ...] | None  # None: a single number, which has no rows

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        with safe_open(self.file, "pt") as opened:
            return opened.get_slice(name)[start - self.rows.start : stop - self.rows.start]


class StoredTensors:
    """What `files` hold together, whole tensors and rows of others; read as it is asked for.

    Raises `ValueError` where the files contradict each other.
    """

    def __init__(self, files: Sequence[Path]):
        self._parts: dict[str, list[_Part]] = {}
        for file in files:
            with safe_open(file, "pt") as opened:
                header = json.loads((opened.metadata() or {}).get(HEADER, "{}"))
                for name in opened.keys():  # noqa: SIM118 (no dictionary)
                    shape = opened.get_slice(name).get_shape()
                    count = shape[0] if shape else 1
                    start, total = header.get(name, (0, count))
                    part = _Part(file, Rows(start, start + count, total), tuple(shape[1:]) if shape else None)
                    self._parts.setdefault(name, []).append(part)
        for name, parts in self._parts.items():
            if len({(part.rows.total, part.row_shape) for part in parts}) > 1:
                raise ValueError(f"{name} has another shape in each of its files")

    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self._parts)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the whole tensor."""
        part = self._parts[name][0]
        return () if part.row_shape is None else (part.rows.total, *part.row_shape)

    def whole(self, name: str) -> torch.Tensor:
        """All of a tensor."""
        part = self._parts[name][0]
        if part.row_shape is None:
            with safe_open(part.file, "pt") as opened:
                return opened.get_tensor(name)
        return self.rows(name, Rows(0, part.rows.total, part.rows.total))

    def rows(self, name: str, wanted: Rows) -> torch.Tensor:
        """The `wanted` rows. Raises `ValueError` where the tensor has other rows, or files of it are gone."""
        total = self._parts[name][0].rows.total
        if total != wanted.total:
            raise ValueError(f"{name} has {total} rows instead of {wanted.total}")
        parts = sorted(self._parts[name], key=lambda part: part.rows.start)
        found, reached = [], wanted.start
        for part in parts:
            stop = min(part.rows.stop, wanted.stop)
            if part.rows.start <= reached < stop:
                found.append(part.read(name, reached, stop))
                reached = stop
        if reached < wanted.stop:
            raise ValueError(f"{name} lacks its rows from {reached} on")
        return torch.cat(found) if found else parts[0].read(name, parts[0].rows.start, parts[0].rows.start)
