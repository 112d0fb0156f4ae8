"""MediaWiki dumps: which pages, what stays of their text, what is refused, and how little memory it takes."""

import bz2
import tracemalloc
from itertools import pairwise
from xml.sax.saxutils import escape

import pytest
from corpus_files import PACKERS, SENTENCES, build_from, everything, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from xpt.program.errors import XPTError
from xpt.text.corpus import mediawiki
from xpt.text.corpus.mediawiki import plain_text, read_articles
from xpt.text.corpus.opening import open_bytes
from xpt.text.corpus.sources import find_sources

SITE = (
    "<siteinfo><dbname>kowiki</dbname><namespaces>"
    '<namespace key="0" case="first-letter" /><namespace key="1">토론</namespace>'
    '<namespace key="6">파일</namespace><namespace key="14">분류</namespace></namespaces></siteinfo>'
)


def revision(text: str, model: str = "wikitext") -> str:
    return (
        "<revision><id>5</id><contributor><username>누구</username><id>7</id></contributor>"
        f'<model>{model}</model><text bytes="1" xml:space="preserve">{escape(text)}</text></revision>'
    )


def page(*revisions: str, namespace: int = 0, redirect: str = "") -> str:
    return f"<page><title>제목</title><ns>{namespace}</ns><id>3</id>{redirect}{''.join(revisions)}</page>\n"


def dump(*pages: str) -> bytes:
    head = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ko">'
    return f"{head}{SITE}{''.join(pages)}</mediawiki>\n".encode()


def articles_of(path) -> list[str]:
    (source,) = find_sources((str(path),))
    with open_bytes(source, lambda count: None) as stream:
        return list(read_articles(source, stream))


ARTICLE = """{{인물 정보
| 이름 = 홍길동
| 출생 = {{출생일|1970|1|2}}
}}
[[파일:Hong.jpg|섬네일|[[서울]]에 사는 홍길동의 사진이다.]]
'''홍길동'''은 [[조선]]의 [[한글 소설|소설]]에 나오는 사람이다.<ref name="a">각주의 글.</ref>
그는 [https://a.kr 산]에 살았다.

== 줄거리를 적은 긴 제목이라도 본문은 아니다 ==
{| class="wikitable"
|-
! 해 !! 표에 적힌 글은 문장이 아니라고 한다.
|}
* 그는 집을 떠나 [[활빈당 (소설)|활빈당]]을 이끌었다.
<!-- 주석에 적힌 글은 본문이 아니다. -->
그 넓이는 <math>a^2</math>이라고 책에 적혀 있다.
그는 바다를&nbsp;건너 율도국을 세웠다.<br/>그 나라는 오래 평안했다.
{{각주}}
[[분류:조선의 소설에 나오는 사람이다.]]
[[Category:English name of the namespace is known as well.]]
"""
EXPECTED = [
    "홍길동은 조선의 소설에 나오는 사람이다.",
    "그는 산에 살았다.",
    "그는 집을 떠나 활빈당을 이끌었다.",
    "그는 바다를 건너 율도국을 세웠다.",
    "그 나라는 오래 평안했다.",
]


@pytest.mark.parametrize("packing", PACKERS)
def test_of_an_article_its_running_text_stays(tmp_path, packing):
    path = tmp_path / f"kowiki-pages-articles.xml{packing}"
    path.write_bytes(PACKERS[packing](dump(page(revision(ARTICLE)))))
    corpus = build_from(path, tmp_path / "cache", min_characters=5)
    assert everything(corpus) == sorted(EXPECTED)
    assert corpus.report["dropped"]["formula"] == 1
    assert corpus.report["documents"] == 1


def test_only_articles_and_their_last_revision_are_read(tmp_path):
    (tmp_path / "a.xml").write_bytes(
        dump(
            page(revision(SENTENCES[0]), revision(SENTENCES[1])),
            page(revision(SENTENCES[2]), namespace=1),
            page(revision(SENTENCES[3]), redirect='<redirect title="다른 제목" />'),
            page(revision('{"text": 1}', model="json")),
            page(revision("")),
            page(),
            page(revision(SENTENCES[4])),
        )
    )
    assert articles_of(tmp_path / "a.xml") == [SENTENCES[1], SENTENCES[4]]


def test_all_streams_of_a_dump_are_read_and_its_index_is_no_text(tmp_path):
    whole = dump(*(page(revision(line)) for line in SENTENCES[:60]))
    cuts = (0, 500, 1500, len(whole))
    parts = [whole[start:end] for start, end in pairwise(cuts)]
    (tmp_path / "kowiki-multistream.xml.bz2").write_bytes(b"".join(map(bz2.compress, parts)))
    text_of(tmp_path / "kowiki-multistream-index.txt", [f"600:{i}:{SENTENCES[100 + i]}" for i in range(9)])
    assert everything(build_from(tmp_path, tmp_path / ".cache")) == sorted(SENTENCES[:60])


MARKUP = (
    "{{ }} [[ ]] {| |} |- | '' ''' <ref> </ref> <ref <math> <nowiki> &#1114112; &#0; &lt; &bogus; <!-- --> "
    "== * : http://a.kr [ ] 파일: 가"
).split()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*MARKUP, "\n", " "]), max_size=40))
def test_any_markup_gives_text(parts):
    assert plain_text("".join(parts)).encode("utf-8").count(b"<!--") <= parts.count("<!--")


def test_text_without_markup_stays_as_it_is():
    text = "\n".join(SENTENCES)
    assert plain_text(text) == text


# Refusals

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><mediawiki>&j;</mediawiki>"
).encode()
OUTSIDE = '<!DOCTYPE m [<!ENTITY x SYSTEM "file://{secret}">]><mediawiki><page>&x;</page></mediawiki>'
GOOD = dump(*(page(revision(line)) for line in SENTENCES[:50]))
BAD_DUMPS = {
    "other xml": (b"<html><body/></html>", r"is no MediaWiki dump \(its root is <html>\)"),
    "no xml": ("그냥 글이다.".encode(), r"line 1 is not XML \(syntax error\)"),
    "empty": (b"", r"is not XML \(no element found\)"),
    "cut off": (GOOD[: len(GOOD) // 2], r"line \d+ is not XML .*cut off"),
    "damaged": (GOOD[:900] + b"<<&" + GOOD[903:], r"line \d+ is not XML .*damaged"),
    "not utf-8": (GOOD.replace("서울".encode(), b"\xb0\xa1", 1), "is not XML"),
    "no article": (dump(page(revision(SENTENCES[0]), namespace=4)), "no usable sentence"),
    "bomb": (BOMB, r"\(it declares a document type\)"),
    "outside": (OUTSIDE.encode(), r"\(it declares a document type\)"),
    "endless comment": (b"<mediawiki><!--" + b"x" * (1 << 18), "holds an endless tag"),
    "endless page": (
        b"<mediawiki><page><ns>0</ns><revision><text>" + b"x\n" * (1 << 17),
        "is in a page without end",
    ),
}


@pytest.mark.parametrize("case", BAD_DUMPS)
def test_what_is_no_dump_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, case):
    monkeypatch.setattr(mediawiki, "_LONGEST_TOKEN", 1 << 16)
    monkeypatch.setattr(mediawiki, "_LONGEST_TEXT", 1 << 16)
    content, message = BAD_DUMPS[case]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.xml.gz"
    path.write_bytes(PACKERS[".gz"](content))
    with pytest.raises(XPTError, match=message) as caught:
        build_from(path, tmp_path / "cache")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


class EndlessDump:
    """A dump as a stream that is nowhere held whole."""

    def __init__(self, pages: int):
        self._parts = iter((dump()[: -len("</mediawiki>\n")], *[b""] * pages, b"</mediawiki>\n"))
        self._page = page(revision(SENTENCES[0])).encode()

    def read(self, size: int) -> bytes:
        part = next(self._parts, None)
        return b"" if part is None else part or self._page


def test_memory_does_not_grow_with_the_pages(tmp_path):
    (source,) = find_sources((str(text_of(tmp_path / "a.xml", [])),))

    def peak(pages: int) -> int:
        tracemalloc.start()
        try:
            count = sum(1 for _ in read_articles(source, EndlessDump(pages)))
            assert count == pages
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what the first use of the parser sets up
    assert peak(3000) - peak(1000) < 2000 * 16  # bytes a page; the list of parts above takes 8
