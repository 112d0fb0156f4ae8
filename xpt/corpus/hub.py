"""Datasets of the Hugging Face Hub: one commit, read row by row from the local copy that `datasets` keeps."""

import re
from collections.abc import Iterator

from tqdm import tqdm

from xpt.corpus.documents import Document, choose_column, column_documents
from xpt.corpus.inputs import HubSource
from xpt.errors import XPTError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ROWS = 1000


def find_dataset(dataset: str, config: str | None, revision: str | None) -> HubSource:
    """Pin a dataset to a commit. A full commit hash as revision needs no network.

    Raises XPTError if the Hub cannot be reached or has no such dataset or revision.
    """
    if revision and _COMMIT.fullmatch(revision):
        return HubSource(dataset, config, revision)
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(dataset, revision=revision, timeout=30).sha
    except Exception as error:  # the client's own, the HTTP library's and the socket's
        raise XPTError(_unreachable(dataset, revision, error)) from error
    if commit is None:
        raise XPTError(f"the Hub names no commit of dataset {dataset}: give one as {dataset}@COMMIT")
    return HubSource(dataset, config, commit)


def _unreachable(dataset: str, revision: str | None, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    at = f" at revision {revision}" if revision else ""
    return (
        f"corpus {dataset} is no file here, and as a Hub dataset{at} it cannot be had ({reason}): "
        "check the name, or name a local file"
    )


def read_dataset(source: HubSource, column: str | None, bar: tqdm) -> Iterator[Document]:
    """Stream the rows of the training split (of the only one, where it has another name)."""
    import datasets

    try:
        splits = datasets.load_dataset(source.dataset, source.config, revision=source.revision)
    except Exception as error:  # builders raise whatever their format's library does
        raise XPTError(_unreachable(source.dataset, source.revision, error)) from error
    if "train" not in splits and len(splits) > 1:
        raise XPTError(f"dataset {source.dataset} has no split train, only {', '.join(splits)}")
    rows = splits["train"] if "train" in splits else next(iter(splits.values()))
    name = choose_column(f"dataset {source.dataset}", column, rows.column_names)
    rows = rows.select_columns([name]).with_format("arrow")
    bar.total = (bar.total or 0) + rows.data.nbytes
    is_wiki = "wiki" in source.dataset.lower()
    for table in rows.iter(_ROWS):
        bar.update(table.nbytes)
        for document in column_documents(table.column(name), f"dataset {source.dataset} column {name}"):
            document.is_wiki = is_wiki
            yield document
