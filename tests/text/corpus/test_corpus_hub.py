"""Hub datasets as a corpus, without a network: the client and the loader are stand-ins."""

from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest

from xpt.program.errors import XPTError
from xpt.text.corpus import SPLIT_NAMES, CorpusSettings, build_corpus

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [f"{place}에서 만난 사람은 친절하게 길을 알려 주었다." for place in ("서울", "부산", "대구", "광주")]


@pytest.fixture
def hub(monkeypatch):
    """A Hub with one dataset of two configurations' worth of calls recorded."""
    calls: list[tuple] = []

    def load(name, config=None, revision=None, **options):
        assert not options, "nothing else is passed on, trust_remote_code least of all"
        calls.append((name, config, revision))
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict({"id": [0, 1, 2, 3], "text": ROWS})})

    class Api:
        def dataset_info(self, name, revision=None, timeout=None):
            if name != "org/korean":
                raise OSError("404: no such dataset")
            return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return calls


def build(name, cache, **options):
    return build_corpus(CorpusSettings(corpus=(name,), **options), cache, progress=False)


@pytest.mark.parametrize(
    "name", ["org/korean:20231101.ko@main", "org/korean:20231101.ko", f"org/korean@{COMMIT}"]
)
def test_a_dataset_is_read_at_one_commit_and_cached(tmp_path, hub, name):
    corpus = build(name, tmp_path)
    assert sorted(line for split in SPLIT_NAMES for line in corpus.split(split)) == sorted(ROWS)
    config = "20231101.ko" if ":" in name else None
    assert hub == [("org/korean", config, COMMIT)]
    assert corpus.report["inputs"] == [{"dataset": "org/korean", "config": config, "revision": COMMIT}]
    build(name, tmp_path)
    assert len(hub) == 1


def test_unknown_datasets_and_columns_are_one_line_errors(tmp_path, hub):
    with pytest.raises(
        XPTError, match="corpus org/none is no file here, and as a Hub dataset it cannot be had"
    ):
        build("org/none", tmp_path / "cache")
    with pytest.raises(
        XPTError, match="dataset org/korean has no column body: set column to one of id, text"
    ):
        build("org/korean", tmp_path / "cache", column="body")
    assert not (tmp_path / "cache").exists()


def test_a_loader_that_fails_is_a_one_line_error(tmp_path, hub, monkeypatch):
    def fail(*_arguments, **_options):
        raise ValueError("Config name is missing.\nPlease pick one among: ['a', 'b']")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(XPTError, match="pick one among") as caught:
        build("org/korean", tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_without_a_network_a_dataset_is_a_one_line_error(tmp_path, monkeypatch):
    class Offline:
        def dataset_info(self, *_arguments, **_options):
            raise ConnectionError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub, "HfApi", Offline)
    with pytest.raises(XPTError, match=r"org/name is no file here.*not known") as caught:
        build("org/name:conf", tmp_path / "cache")
    assert "\n" not in str(caught.value)
