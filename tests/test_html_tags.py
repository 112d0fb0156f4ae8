"""Tags go and comparisons stay; what stands in an element that nobody reads goes with it."""

import html

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xpt.corpus.clean import SentenceFilter, clean_text

NO_TAGS = [
    "변수 a<b 이고 c>d 이면 참이다.",
    "p<i 그리고 q>j",
    "i<b and b>c",
    "a<b>c와 A<P>B는 부등식이다.",
    "u <s 이고 s> q",
    "a<b c>d",
    "n<sub 값이고 small>k",
    "사랑해 <3 그리고 1<2>0",
    "<대역 화랑세기>와 <Code Red>와 <Big>과 <The Small>을 보았다.",
]
TAGS = [
    ("<b>굵은 글씨</b>와 <a href='x'>고리</a>가", "굵은 글씨와 고리가"),
    ('<a href="x"target=_blank>고리</a>가 <a title="a>b" name=c>있다</a>', "고리가 있다"),
    ("H<sub>2</sub>O와 E=mc<sup class=x>2</sup>", "H2O와 E=mc2"),
    ("a<b>b</b>c", "abc"),
    ("<FONT COLOR=red>붉은</FONT> <i>글<i/>", "붉은 글"),
    ("<span style=width:3px; b>글</span>은 <del>지운</del> <mark>것</mark>", "글은 지운 것"),
    ('줄<br>바꿈<br/>과<BR clear=all>또<br clear"all">끝', "줄 바꿈 과 또 끝"),
    ("<p align=center>문단</p><p>다음</p>", "문단 다음"),
    ("<ul><li>첫째<li class=a>둘째</ul>", "첫째 둘째"),
    ("<table><tr><td nowrap>칸<td>다음<h2>제목</h2>글<div>끝", "칸 다음 제목 글 끝"),
    ("그는 갔다.<ref name=a>각주, 2010.</ref> 그는 <ref name=a />왔다.", "그는 갔다. 그는 왔다."),
    ("가<!-- 주석 -->나<style>p {}</style>다", "가나다"),
    ("<ruby>漢字<rt>한자</rt></ruby>는 <ruby>山<rp>(</rp><rt>산</rt><rp>)</rp></ruby>은", "漢字는 山은"),
    ("그는 갔으나,<ref>각주</ref>그는 왔다.<ref name=a/>그는", "그는 갔으나, 그는 왔다. 그는"),
    ("<ruby>漢<rt>한<rp>)</ruby>도", "漢도"),
    (
        "앞<includeonly>틀의 글</includeonly>뒤<noinclude>글</noinclude><onlyinclude>도</onlyinclude>",
        "앞뒤글도",
    ),
    ("<s>취소한 글</s>은 <s class=a>이</s>다", "취소한 글은 이다"),
    ("처음<s>끝<mask>이다 x<s>y", "처음 끝 이다 x y"),
]


@pytest.mark.parametrize("text", NO_TAGS)
def test_a_comparison_or_a_title_is_no_tag(text):
    text = text.replace("<s ", "<q ")  # a special token is another matter
    assert clean_text(text) == text
    assert clean_text(html.escape(text)) == text
    assert clean_text(html.escape(html.escape(text))) == text


@pytest.mark.parametrize(("raw", "clean"), TAGS)
def test_inline_tags_leave_nothing_and_breaking_ones_a_blank(raw, clean):
    assert clean_text(raw) == clean
    assert clean_text(html.escape(raw)) == clean


def test_a_formula_leaves_its_mark_right_beside_a_particle():
    cleaned = clean_text("이 도형의 넓이는<math>a<b</math>이라고 책에 적혀 있다.")
    assert cleaned == "이 도형의 넓이는formula_1이라고 책에 적혀 있다."
    assert SentenceFilter("ko", 10, 1000, 0.25).reason_to_drop(cleaned) == "formula"


PARTS = (
    '<b> </b> <b <s> </s> <p> <ref> </ref> <rt> <ruby> </ruby> <br <!-- --> <math> a b > < = " / &lt; &gt; '
    "&amp; 가"
).split()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([*PARTS, " "]), max_size=20).map("".join))
@example("<<b>b>")
@example("a<b>c</b")
def test_cleaning_again_changes_nothing_and_no_special_token_is_left(text):
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert not any(token in cleaned for token in ("<s>", "</s>", "<mask>", "<br>", "</b>", "<ref>", "&lt;"))


@pytest.mark.parametrize(
    "part", ["<ref>", "<b a=", "<!--", "<rt>", '<a b="', "<s>", "<ref><rt>", "<math>", "a<b>"]
)
def test_hostile_lines_end(part):
    line = part * (2**15 // len(part))
    assert len(clean_text(line)) <= len(line)
