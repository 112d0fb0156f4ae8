"""Folders and names nobody plans: many files, deep and circular folders, pipes, closed doors, odd names."""

import bz2
import os
import socket
import unicodedata
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
from xpt.text.corpus import build, format_corpus_report
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
        with pytest.raises(XPTError, match=r"b\.txt is a link to nothing: fix or remove it"):
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
    monkeypatch.setattr(build, "find_sources", lambda *_: found)
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


# Names that are spelled in another normal form


def decomposed(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


NAMES = (
    "위키 자료/한글.txt",
    "위키 자료",
    "위키 자료/*.txt",
    "위*/한*.txt",
    "**/한글.txt",
    "위키 자료/**",
    "위키 자료/한?.txt",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("typed", [composed, decomposed])
@pytest.mark.parametrize("folder", [composed, decomposed])
@pytest.mark.parametrize("file", [composed, decomposed])
def test_a_name_is_found_in_either_normal_form(tmp_path, monkeypatch, name, typed, folder, file):
    path = tmp_path / folder("위키 자료") / file("한글.txt")
    path.parent.mkdir()
    text_of(path, SENTENCES[:40])
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / typed(name), Path(typed(name))):
        (source,) = find_sources((str(place),))
        assert os.path.samefile(source.path, path)
    if os.listdir(path.parent) == [file("한글.txt")]:  # a disk that keeps names as they are
        assert len(find_sources((str(tmp_path / composed(name)), str(tmp_path / decomposed(name))))) == 1


def test_each_of_two_spellings_is_itself(tmp_path):
    for spelling, line in ((composed, SENTENCES[0]), (decomposed, SENTENCES[1])):
        text_of(tmp_path / spelling("한글.txt"), [line])
    for spelling in (composed, decomposed):
        assert sources_of(tmp_path / spelling("한글.txt")) == [spelling("한글.txt")]
    assert len(find_sources((str(tmp_path / "한*"),))) == 2


def test_a_name_that_no_spelling_has_is_missing(tmp_path):
    text_of(tmp_path / "한글.txt", SENTENCES[:40])
    for name in ("한국.txt", "한글.txt/한글.txt", "없다/한글.txt"):
        with pytest.raises(XPTError, match="does not exist"):
            find_sources((str(tmp_path / name),))
    with pytest.raises(XPTError, match="holds no file"):
        find_sources((str(tmp_path / "없다" / "*.txt"),))


# Dumps in parts, and what lies beside a text

DUMP = "<mediawiki><page><title>글</title><ns>0</ns><revision><text>{}</text></revision></page></mediawiki>"
PARTS = (
    "kowiki-20260101-pages-articles1.xml-p1p82407",
    "kowiki-20260101-pages-articles-multistream2.xml-p82408p231430",
    "kowiki-20260101-pages-articles3.xml-p231431p391430.bz2",
    "kowiki-20260101-pages-articles-multistream4.xml-p391431p400000.bz2",
)
INDEXES = (
    "kowiki-20260101-pages-articles-multistream-index.txt.bz2",
    "kowiki-20260101-pages-articles-multistream-index2.txt-p82408p231430.bz2",
    "kowiki-20260101-pages-articles-multistream-index2.txt-p82408p231430",
)


def test_parts_of_a_dump_are_read_and_their_indexes_are_not(tmp_path):
    for number, name in enumerate(PARTS):
        page = DUMP.format(SENTENCES[number]).encode()
        # A dump of many streams is several archives, one behind the other.
        packed = bz2.compress(page[:90]) + bz2.compress(page[90:]) if name.endswith(".bz2") else page
        (tmp_path / name).write_bytes(packed)
    for name in INDEXES:
        (tmp_path / name).write_bytes(bz2.compress("600:1:서울에 사는 학생은 이렇게 말했다.\n".encode()))
    for place in (tmp_path, tmp_path / "*", tmp_path / "kowiki*.xml-p*"):
        corpus = build_from(place, tmp_path / ".cache")
        assert everything(corpus) == sorted(SENTENCES[:4])
    for number, name in enumerate(PARTS):
        assert everything(build_from(tmp_path / name, tmp_path / ".cache")) == [SENTENCES[number]]
    for name in INDEXES:
        with pytest.raises(XPTError, match=r"is the index of a dump and holds no text: name the \.xml\.bz2"):
            find_sources((str(tmp_path / name),))


ARCHIVES = {
    "a.7z": r"a\.7z is an archive: unpack it with 7z x, or take the \.bz2 of the same dump",
    "a.xml-p1p9.7z": "unpack it with 7z x",
    "a.zip": "is an archive: unpack it first",
    "a.tar.gz": "is an archive: unpack it first",
    "a.TGZ": "is an archive: unpack it first",
    "a.md": r"has an unknown extension: use \.txt",
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_refused_by_name_with_the_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(XPTError, match=ARCHIVES[name]):
        find_sources((str(tmp_path / name),))


BESIDE = (
    "a.md",
    "b.MD",
    "c.zip",
    "d.7z",
    "e.arrow",
    "f.tar.gz",
    "LICENSE",
    INDEXES[0],
    "g.tsv.bak",
    "h.md.gz",
)
PASSED_OVER = {
    ".md": 2,
    ".zip (to be unpacked)": 1,
    ".7z (to be unpacked)": 1,
    ".arrow": 1,
    ".tar.gz (to be unpacked)": 1,
    "without extension": 1,
    "index of a dump": 1,
    ".bak": 1,
    ".md.gz": 1,
}


def test_what_is_passed_over_is_named_with_counts(tmp_path):
    text_of(tmp_path / "good.text", SENTENCES[:40])
    assert everything(build_from(tmp_path, tmp_path / ".cache")) == sorted(SENTENCES[:40])
    (tmp_path / "deep").mkdir()
    for number, name in enumerate(BESIDE):
        (tmp_path / ("deep" if number % 2 else ".") / name).write_bytes(b"x")
    for place in (tmp_path, tmp_path / "**"):
        corpus = build_from(place, tmp_path / ".cache")
        assert everything(corpus) == sorted(SENTENCES[:40])
        assert corpus.report["entries"][0]["passed_over"] == PASSED_OVER
        said = format_corpus_report(corpus.report).splitlines()
        (line,) = [line for line in said if "passed over" in line]
        assert line.startswith("    files passed over: 2 .md, 1 ") and line.endswith(", 1 others")
    named = build_from(tmp_path / "good.text", tmp_path / ".cache")
    assert named.report["entries"][0]["passed_over"] == {}
    assert "passed over" not in format_corpus_report(named.report)


def test_what_lies_beside_a_text_changes_no_cache(tmp_path):
    text_of(tmp_path / "a.txt", SENTENCES[:40])
    first = build_from(tmp_path, tmp_path / ".cache")
    stamp = (first.folder / "corpus.json").stat().st_mtime_ns
    (tmp_path / "b.zip").write_bytes(b"x")
    again = build_from(tmp_path, tmp_path / ".cache")
    assert again.folder == first.folder and (again.folder / "corpus.json").stat().st_mtime_ns == stamp
    assert again.report["entries"][0]["passed_over"] == {".zip (to be unpacked)": 1}
