"""A source's files by name, from a folder, or one commit of them from the Hub or its local cache."""

import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from xpt.program.errors import XPTError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
EXAMPLE = "FacebookAI/roberta-base"
MAX_JSON_BYTES = 64 << 20  # an index of shards has some megabytes; more is no index
SHARD = re.compile(r"[\w.-]{1,200}\.safetensors", re.ASCII)
MAX_MESSAGE = 300  # characters of what a library said


class SourceFiles:
    """The files of one checkpoint.

    Args:
        name: a folder or, where there is none of that name, a Hub id.
        revision: branch, tag or commit on the Hub; what it stands for is then in `commit`, from the first
            file on, so that all files are of one commit.

    Raises:
        XPTError: no folder, and no Hub id either; here and in all methods with `name` and the way out.
    """

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.name, self.revision = name, revision
        self.commit: str | None = None
        self._unreachable = False
        try:
            self.folder = Path(name).expanduser()
            self.on_hub = not self.folder.exists()
        except (OSError, RuntimeError, ValueError) as error:  # too long, an unknown ~user, a null byte
            raise XPTError(f"source {name[:100]!r} is no name of a folder: {one_line(error)}") from error
        if self.on_hub and not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
            raise XPTError(f"source {name!r} does not exist; give a folder or a Hub id such as {EXAMPLE}")
        if not self.on_hub and not self.folder.is_dir():
            raise XPTError(f"source {name!r} is a file; give the folder that holds {CONFIG} and {WEIGHTS}")
        if not self.on_hub and revision:
            raise XPTError(
                f"source {name!r} is a folder, which has no revisions; leave --source_revision out"
            )

    def read_json(self, filename: str) -> dict[str, Any]:
        """A JSON object. Raises `XPTError` where the file is missing or is something else."""
        path = self.find(filename)
        if path is None:
            raise self._missing(f"no {filename}")
        try:
            if (size := path.stat().st_size) > MAX_JSON_BYTES:
                raise ValueError(f"it has {size:,} bytes")
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise XPTError(
                f"source {self.name!r}: {filename} cannot be read as JSON ({one_line(error)})"
            ) from error
        if not isinstance(value, dict):
            raise XPTError(f"source {self.name!r}: {filename} holds no JSON object; get the checkpoint again")
        return value

    def weights(self) -> list[Path]:
        """The safetensors files, one or all shards. Raises `XPTError` where one is missing."""
        whole = self.find(WEIGHTS)
        if whole is not None:
            return [whole]
        if self.find(INDEX) is None:
            raise self._missing(f"no {WEIGHTS}", self._pickle_advice())
        shards = self.read_json(INDEX).get("weight_map")
        listed = list(shards.values()) if isinstance(shards, dict) else []
        names = sorted({name for name in listed if isinstance(name, str)})
        if not names or not all(isinstance(name, str) and SHARD.fullmatch(name) for name in listed):
            raise XPTError(f"source {self.name!r}: {INDEX} names no shards; get the checkpoint again")
        paths = []
        for name in names:
            path = self.find(name)
            if path is None:
                raise self._missing(f"no {name}, one of {len(names)} shards")
            paths.append(path)
        return paths

    def find(self, filename: str) -> Path | None:
        """Where the file lies, downloaded if need be; None where the checkpoint has no such file."""
        if not self.on_hub:
            path = self.folder / filename
            return path if path.is_file() else None
        try:
            path = Path(hf_hub_download(self.name, filename, revision=self.commit or self.revision))
        except LocalEntryNotFoundError:  # not in the cache, and the Hub is not there to ask
            self._unreachable = True
            return None
        except RevisionNotFoundError as error:
            raise XPTError(f"source {self.name!r} has no revision {self.revision!r} on the Hub") from error
        except EntryNotFoundError:
            return None
        except GatedRepoError as error:
            raise XPTError(
                f"source {self.name!r} is gated: accept its terms on the Hub, then `hf auth login`"
            ) from error
        except RepositoryNotFoundError as error:
            raise XPTError(
                f"source {self.name!r} is no folder, and no model on the Hub (a private one: `hf auth login`)"
            ) from error
        except Exception as error:  # the client lets errors of several libraries through
            first_line = str(error).strip().partition("\n")[0]
            raise XPTError(f"source {self.name!r}: the Hub did not give {filename} ({first_line})") from error
        self.commit = self.commit or path.parent.name  # .../snapshots/<commit>/<file>
        return path

    def _missing(self, what: str, advice: str = "get the checkpoint again") -> XPTError:
        if self._unreachable:
            return XPTError(
                f"source {self.name!r} is no folder, the Hub cannot be reached, and its cache has {what}; "
                "give a folder, or try again with a connection"
            )
        return XPTError(f"source {self.name!r} has {what}; {advice}")

    def _pickle_advice(self) -> str:
        if self.find("pytorch_model.bin") is None:
            return "get the whole checkpoint"
        return (
            "its pytorch_model.bin is a pickle, which can run any code and is not opened: convert it with "
            "save_pretrained, or give a --source_revision that has safetensors"
        )


def one_line(error: Exception) -> str:
    """What a library said, on one line that any terminal can show: it may quote a stranger's file."""
    text = " ".join(str(error).split()).encode(errors="backslashreplace").decode()
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]} ..."
