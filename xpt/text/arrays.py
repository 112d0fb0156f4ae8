"""Arrays written to disk piece by piece, in NumPy's own format, which other code maps into memory.

Ordinary writes: on a full disk they raise, where writing through a memory map kills the process (SIGBUS).
"""

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import DTypeLike


class ArrayWriter:
    """A one-dimensional `.npy` file that grows; its header is right once it is closed.

    Args:
        path: where it is written.
        dtype: of its elements.
    """

    def __init__(self, path: Path, dtype: DTypeLike):
        self._file = open(path, "wb")  # noqa: SIM115 - closed on leaving
        self._dtype, self._count = np.dtype(dtype), 0
        self._write_header()

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._count,)}
        # Padded by NumPy, so that its size does not depend on the count.
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, values: np.ndarray) -> None:
        """Write more elements, shape (n,)."""
        self._file.write(np.ascontiguousarray(values, self._dtype).tobytes())
        self._count += len(values)

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._file.seek(0)
                self._write_header()
        finally:
            self._file.close()
