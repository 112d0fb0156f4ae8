"""What extraction leaves of wiki text, and the same things in a dump: templates, magic words, tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpt.corpus.clean import SentenceFilter, clean_text
from xpt.corpus.mediawiki import plain_text
from xpt.corpus.wiki_markup import clean_wiki_markup, is_wiki_junk


def from_dump(wikitext: str) -> list[str]:
    return [line for line in map(cleaned, plain_text(wikitext).split("\n")) if line]


def cleaned(line: str) -> str:
    return clean_text(clean_wiki_markup(clean_text(line)))


TEMPLATES = [
    (
        "강의 길이는 {{변환|100|km}}이고 영어 이름은 {{llang|en|Han River}}이다.",
        "강의 길이는 100 km이고 영어 이름은 Han River이다.",
    ),
    ("그 시는 {{lang|fr|Ville de ''Paris''}}라고 한다.", "그 시는 Ville de Paris라고 한다."),
    ("그 시는 {{Lang-en|Seoul}}, {{lang|1=ja|2=ソウル}}이라 한다.", "그 시는 Seoul, ソウル이라 한다."),
    ("이 산은 {{한자|[[백두산|白頭山]]}}이라 쓴다.", "이 산은 白頭山이라 쓴다."),
    ("그 값은 {{nowrap|{{변환|3.5|kg|lb}}}} 정도이다.", "그 값은 3.5 kg 정도이다."),
    ("Село {{нп|Назва|назвою|en|Name}} та {{lang-uk|мова}}.", "Село назвою та мова."),
    ("인구는 {{formatnum:12345}}명이다.", "인구는 12345명이다."),
    # a footnote, whether its name is known or only its place shows it
    ("그는 갔다.{{각주|가}} 그는 {{출처 필요|날짜=2020-1-1}} 왔다{{sfn|홍|2010}}.", "그는 갔다. 그는 왔다."),
    ("그는 갔다.{{모르는 틀}} 그는 왔다.{{모르는 틀|a}}{{다른 틀}}", "그는 갔다. 그는 왔다."),
    ("그는 갔다{{모르는 틀}}. 그는 왔다. {{모르는 틀}}", "그는 갔다. 그는 왔다."),
    ("그의 말이다.”{{모르는 틀}} 그는 왔다.", "그의 말이다.” 그는 왔다."),
    ("Він пішов.{{sfn|А|2010}} Він {{джерело?}} прийшов{{fact}}.", "Він пішов. Він прийшов."),
    # a box, an icon, a hatnote
    ("{{위키데이터 속성}}", ""),
    ("* {{모르는 틀}} 그는 갔다.", "그는 갔다."),
    ("{{다른 뜻|서울}}'''서울'''은 수도이다.", "서울은 수도이다."),
    # in brackets among commas
    (
        "서울({{모르는 틀|a}})은 ({{llang|en|Seoul}}, {{모르는 틀}}, 1394년 ~) 수도이다.",
        "서울은 (Seoul, 1394년 ~) 수도이다.",
    ),
]  # fmt: skip
HOLES = [
    "강의 길이는 {{모르는 틀|100}}이고 길다.",
    "강의 길이는 {{변환|1|-|2|km}}이고 길다.",
    "강의 길이는 {{변환|100}} 가량이다.",
    "{{모르는 틀}}은 수도이다.",
    "그 강은 (길이 {{모르는 틀}} 가량) 길다.",
    "강의 길이는 3{{모르는 틀}} 가량이다.",
    "강의 길이는 {{{1|기본값}}}이다.",
    "강의 길이는 {{lang|en}}이다.",
    "강의 길이는 {{lang|en|닫히지 않은 틀이다.",
]


@pytest.mark.parametrize(("raw", "clean"), TEMPLATES)
def test_templates_that_leave_no_hole(raw, clean):
    assert cleaned(raw) == clean
    assert from_dump(raw) == ([clean] if clean else [])


@pytest.mark.parametrize("raw", HOLES)
def test_a_sentence_with_a_hole_is_dropped(raw):
    reason_to_drop = SentenceFilter("ko", 5, 1000, 0.25).reason_to_drop
    assert reason_to_drop(cleaned(raw)) == "template"
    assert [reason_to_drop(line) for line in from_dump(raw)] == ["template"]


def test_the_hole_of_one_sentence_leaves_its_neighbor():
    assert cleaned("그는 갔다. 길이는 {{모르는 틀}}이다.").startswith("그는 갔다. 길이는 template_1")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("__목차숨김__", ""),
        ("__БЕЗОГЛ____безогл__글__목차_숨김__이다__NOTOC____notoc__.", "글이다."),
        ("__init__과 _밑줄_과 __두 줄__과 __시켜 이", "__init__과 _밑줄_과 __두 줄__과 __시켜 이"),
        ("-{zh-hans:计算机; zh-hant:電腦}-는 -{그대로}-이다.", "计算机는 그대로이다."),
        ("-{zh-hant:電腦; zh-hans:计算机}-는 -{R|zh-x}--{H|zh-cn:甲;zh-tw:乙}-", "電腦는 zh-x"),
        ("르노|출판사=CNRS|해=2000}}그는 갔다.", "그는 갔다."),
        ("그 값은 이다.}} 그는 갔다.", "그 값은 이다. 그는 갔다."),
        ("집합 {1, 2}와 }}", "집합 {1, 2}와"),
    ],
)  # fmt: skip
def test_magic_words_converted_words_and_loose_ends(raw, clean):
    assert cleaned(raw) == clean
    assert from_dump(raw) == [cleaned(raw)][: bool(cleaned(raw))]


DUMP = """:{| class="wikitable"
|-
| 표의 칸에 적힌 글은 문장이 아니라고 한다.
칸의 둘째 줄에 적힌 글도 문장이 아니라고 한다.
|}
*{|
! 표의 머리에 적힌 글도 문장이 아니라고 한다.
|}
:: {|
| 들여 쓴 표의 칸에 적힌 글도 문장이 아니라고 한다.
|}
<includeonly>틀에만 들어가는 글은 본문이 아니라고 한다.</includeonly>
그는 <ruby>漢字<rt>한자</rt></ruby>를 배웠다고 한다.
그는 <ruby>漢<rt>한</ruby>을 <noinclude>오래</noinclude> 배웠다.
{{인물 정보
|이름=홍길동은 조선의 소설에 나오는 사람이다.
| 설명 = 조선의 소설에 나오는 사람이라고 한다.
|직업=도적
그는 집을 떠나 활빈당을 이끌었다.
"""


def test_of_tables_and_open_boxes_nothing_stays():
    lines = [line for line in from_dump(DUMP) if not is_wiki_junk(line, "ko")]
    assert lines == [
        "그는 漢字를 배웠다고 한다.",
        "그는 漢을 오래 배웠다.",
        "그는 집을 떠나 활빈당을 이끌었다.",
    ]


@pytest.mark.parametrize(
    ("line", "junk"),
    [
        ("|설명=조선의 소설에 나오는 사람이라고 한다.", True),
        (":{| 표의 머리라고 길게 적어 둔 줄이며 서른 자를 넘는다고 한다.", True),
        ("*|서울에는 많은 사람이 살고 있으며 이 줄은 서른 자를 넘는다.", True),
        ("!이름!!서울에는 많은 사람이 살고 있으며 이 줄은 서른 자를 넘는다.", True),
        ("|x|는 절댓값이며 이 문장은 서른 글자가 넘는 보통 문장이라고 한다.", False),
        ("!주의: 이것은 표가 아니며 서른 글자가 넘는 보통 문장이라고 한다.", False),
    ],
)
def test_rows_of_tables_are_told_from_sentences(line, junk):
    assert is_wiki_junk(line, "ko") is junk


PARTS = "{{ }} {{{ }}} | = a [[ ]] __ 가 -{ }- ( ) . , ' 갔다. {{틀}} {{lang|en|".split()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*PARTS, " "]), max_size=20).map("".join))
def test_no_mark_of_a_template_is_left(text):
    for line in (clean_wiki_markup(text), plain_text(text)):
        assert "\ufdd0" not in line


@pytest.mark.parametrize("part", ["{{", "{{a|", "{{{", "-{", "__a", "__가", "|a=", "{{a}}", "({{a}}", "'''"])
def test_hostile_lines_end(part):
    line = part * (2**15 // len(part))
    assert len(clean_wiki_markup(line)) <= 12 * len(line)
