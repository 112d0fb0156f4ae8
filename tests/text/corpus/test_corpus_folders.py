"""Folders and names nobody plans: many files, deep and circular folders, pipes, closed doors, odd names."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from corpus_files import (
    SENTENCES,
    build_from,
    everything,
    sentence,
    text_of,
)

from xpt.program.errors import XPTError
from xpt.program.files import read_record, write_record
from xpt.text.corpus import build
from xpt.text.corpus.sources import find_sources


def sources_of(path: Path) -> list[str]:
    return [source.path.name for source in find_sources((str(path),))]


def test_ten_thousand_short_files(tmp_path):
    for index in range(10_000):
        folder = tmp_path / "in" / f"{index % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.txt").write_bytes(sentence(index).encode())
    corpus = build_from(tmp_path / "in", tmp_path / "cache")
    assert everything(corpus) == sorted(map(sentence, range(10_000)))
    assert corpus.report["files"] == corpus.report["documents"] == 10_000


def test_a_folder_as_deep_as_a_path_can_be(tmp_path):
    folder = tmp_path
    while len(str(folder)) < 4000:
        folder = folder / "ddd"
        folder.mkdir()
    text_of(folder / "a.txt", SENTENCES[:40])
    try:
        assert everything(build_from(tmp_path, tmp_path / ".cache")) == sorted(SENTENCES[:40])
        assert sources_of(tmp_path / "**" / "*.txt") == ["a.txt"]
    finally:
        os.system(f"rm -rf '{tmp_path / 'ddd'}'")  # shutil.rmtree recurses


def test_links_in_circles_end_and_each_file_is_read_once(tmp_path):
    root, outside = tmp_path / "in", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    text_of(root / "a" / "a.txt", SENTENCES[:40])
    text_of(outside / "b.txt", SENTENCES[40:50])
    for name in ("one", "two", "three"):  # every path through them is a path: 3^40
        (root / "a" / name).symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "elsewhere").symlink_to(outside)
    (root / "again.txt").symlink_to(root / "a" / "a.txt")
    assert sources_of(root / "**") in (["a.txt", "b.txt"], ["again.txt", "b.txt"])
    assert everything(build_from(root, tmp_path / "cache")) == sorted(SENTENCES[:50])
    assert len(find_sources((str(root / "**" / "*.txt"),))) == 2


def test_a_link_to_nothing_is_named(tmp_path):
    text_of(tmp_path / "a.txt", SENTENCES[:40])
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone.txt")
    for name in (tmp_path, tmp_path / "b.txt", tmp_path / "*.txt"):
        with pytest.raises(XPTError, match=r"b\.txt is a link to nothing: mend or remove it"):
            find_sources((str(name),))
    (tmp_path / "b.txt").unlink()
    (tmp_path / "b.txt").symlink_to(tmp_path / "b.txt")
    with pytest.raises(XPTError, match=r"b\.txt is a link to nothing"):
        find_sources((str(tmp_path),))


def test_pipes_sockets_and_devices_are_passed_by_in_folders_and_refused_by_name(tmp_path):
    text_of(tmp_path / "a.txt", SENTENCES[:40])
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "null.txt").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        with suppress(OSError):  # the name of a socket must be short
            listener.bind(str(tmp_path / "s.txt"))
        assert sources_of(tmp_path) == sources_of(tmp_path / "*") == ["a.txt"]
        for name in {"pipe.txt", "null.txt", "s.txt"} & set(os.listdir(tmp_path)):
            with pytest.raises(XPTError, match=rf"{name} is no regular file: write what it gives into one"):
                find_sources((str(tmp_path / name),))


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    path = text_of(tmp_path / "a.txt", SENTENCES[:40])
    found = find_sources((str(path),))
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(build, "find_sources", lambda _: found)
    with pytest.raises(XPTError, match=r"a\.txt was removed while it was read"):
        build_from(path, tmp_path / "cache")


@pytest.fixture
def without_privileges(tmp_path):
    """For the superuser every file is readable: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    places = [tmp_path, *tmp_path.parents]
    modes = [place.stat().st_mode for place in places]
    for place, mode in zip(places, modes, strict=True):
        place.chmod(mode | 0o755)
    tmp_path.chmod(0o777)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)


def test_what_may_not_be_read_is_named(tmp_path, without_privileges):
    folder = tmp_path / "in"
    (folder / "closed").mkdir(parents=True)
    text_of(folder / "a.txt", SENTENCES[:40]).chmod(0)
    text_of(folder / "closed" / "b.txt", SENTENCES[40:50])
    with pytest.raises(XPTError, match=r"in/a\.txt may not be read \(Permission denied\): make it readable"):
        build_from(folder, tmp_path / "cache")
    (folder / "closed").chmod(0)
    for name in (folder, folder / "**" / "*.txt"):
        with pytest.raises(XPTError, match=r"folder .*in/closed cannot be read \(Permission denied\)"):
            build_from(name, tmp_path / "cache")
    with pytest.raises(XPTError, match=r"corpus .*closed/b\.txt cannot be read \(Permission denied\)"):
        build_from(folder / "closed" / "b.txt", tmp_path / "cache")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    (folder / "closed").chmod(0o755)


def test_a_name_that_is_too_long_is_named(tmp_path):
    with pytest.raises(XPTError, match=r"x+\.txt cannot be read \(File name too long\)"):
        find_sources((str(tmp_path / ("x" * 300 + ".txt")),))


ODD_NAMES = (
    b"\xb0\xa1.txt",
    b"two\nlines.txt",
    b"tab\there.txt",
    b"-n.txt",
    b"quote'\".txt",
    b"[a]*.txt",
    b" .txt",
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_of_any_name_are_read_and_named_on_one_line(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    text_of(path, SENTENCES[:40])
    for place in (path, tmp_path):
        corpus = build_from(place, tmp_path / ".cache")
        assert everything(corpus) == sorted(SENTENCES[:40])
        shown = corpus.report["inputs"][0]["file"]
        assert shown.isprintable() and shown.encode("utf-8")
    path.write_bytes(b"\xff")
    with pytest.raises(XPTError, match="line 1, byte 1 is not UTF-8") as caught:
        build_from(path, tmp_path / ".cache")
    assert str(caught.value).isprintable()


def test_settings_with_any_name_can_be_recorded(tmp_path):
    settings = {"corpus": [os.fsdecode(name) for name in ODD_NAMES]}
    write_record(tmp_path / "a.json", settings)
    assert read_record(tmp_path / "a.json") == settings
