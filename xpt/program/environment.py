"""What a result needs to be repeated: command, versions, hardware, peak memory."""

import ctypes
import gc
import os
import platform
import re
import resource
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from xpt.program.settings import changed_values

PACKAGES = ("xpt", "torch", "transformers", "tokenizers", "sentencepiece", "accelerate", "numpy", "scipy")


def describe_command(called: str, arguments: Sequence[str]) -> str:
    """The command line, as a person would type it again; paths of programs and secrets are left out.

    Args:
        called: the script's file, or a command such as `xpt train`.
    """
    shown = re.sub(r"(--\w*token)([= ])\S+", r"\1\2***", shlex.join(arguments))
    program = f"python {Path(called).name}" if called.endswith(".py") else called
    return f"{program} {shown}".rstrip()


def describe_call(function: str, settings: Any) -> str:
    """The call of a function of ours in Python, as one would write it again; secrets are left out.

    Args:
        function: as one calls it, `xpt.post_train`.
        settings: what it is given; dataclasses that `xpt` exports, whose values are shown where they are not
            the default's.
    """
    return f"{function}({_expression(settings)})"


def _expression(value: Any) -> str:
    if not is_dataclass(value) or isinstance(value, type):
        return repr(getattr(value, "value", value))  # choices of transformers are enumerations
    values = getattr(value, "chosen", None)  # of what its making has changed, what was given
    shown = [
        f"{name}={_expression(entry)}"
        for name, entry in (changed_values(value) if values is None else values).items()
        if not name.endswith("_token")
    ]
    return f"xpt.{type(value).__name__}({', '.join(shown)})"


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe_hardware() -> dict[str, Any]:
    """Processor, cores in use, matrix instructions, memory and accelerators."""
    hardware: dict[str, Any] = {
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
    return hardware


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def peak_memory_mib() -> dict[str, int]:
    """Peak resident memory of this process, and of the GPU where there is one, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
    peak = {"cpu": int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)}
    if torch.cuda.is_available():
        peak["gpu"] = int(torch.cuda.max_memory_allocated() / 2**20)
    return peak


def resident_memory_mib() -> int:
    """Resident memory of this process now, in MiB; where the system does not tell, its peak."""
    return _resident_bytes("VmRSS") // 2**20


class PeakMemory:
    """How far memory grew while open, at its highest: the GPU's, else this process's.

    On Linux the kernel's mark of the highest resident memory is set back first; elsewhere it cannot be, and
    what was higher before counts too.
    """

    def __init__(self, device: torch.device):
        self.on_gpu, self.grown = device.type == "cuda", 0

    def __enter__(self) -> "PeakMemory":
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return self
        with suppress(OSError, AttributeError):
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # or what was freed before would be taken again unseen
            Path("/proc/self/clear_refs").write_text("5")
        self._before = _resident_bytes("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        highest = torch.cuda.max_memory_allocated() if self.on_gpu else _resident_bytes("VmHWM")
        self.grown = max(0, highest - self._before)


def _resident_bytes(entry: str) -> int:
    """Resident memory of this process, now (`VmRSS`) or at its highest (`VmHWM`)."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.search(rf"{entry}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):
        return peak_memory_mib()["cpu"] * 2**20
