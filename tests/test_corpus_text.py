"""Cleaning and sentence splitting, line by line."""

import json
import sys
import unicodedata
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from xpt.corpus.clean import SentenceFilter, clean_text, repair_korean
from xpt.corpus.sentences import split_with_sentencex
from xpt.corpus.wiki_markup import clean_wiki_markup, is_wiki_junk

REPOSITORY = Path(__file__).parent.parent
HARD = (
    "가각힣ㄱᄀ\u1161\u11a8 \t\n\r\u00a0\u3000\u200b\u200c\u200d\u2028\ufeff\u3164\u2581\u00ad\ue000"
    "\ud800\0\x85<>/s&amp;#1lt;'\"().,!?…？「」《》“”0123abzé\u0301👩🏽🚀\ufe0f❤क्षन-*■·"
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(alphabet=HARD, max_size=40), st.text(max_size=30)))
def test_clean_text_is_what_the_tokenizer_relies_on(text):
    cleaned = clean_text(text)
    assert cleaned == unicodedata.normalize("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not regex.search(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u200b\ufeff\u2581\u3164]", cleaned)
    assert not regex.search(r"</?s>|<pad>|<unk>|<mask>", cleaned)
    assert clean_text(cleaned) == cleaned
    cleaned.encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  나는\t\u00a0\u3000집에   간다. \r\n", "나는 집에 간다."),
        (unicodedata.normalize("NFD", "한국어 문장"), "한국어 문장"),
        ("가\u200b나\ufeff다\u00ad라\u200d마\u200e바", "가나다라마바"),
        (
            "가족 👨\u200d👩\u200d👧 과 👩🏽\u200d🚀 와 ❤️\u200d🔥",
            "가족 👨\u200d👩\u200d👧 과 👩🏽\u200d🚀 와 ❤️\u200d🔥",
        ),
        ("क्\u200dष می\u200cخواهم", "क्\u200dष می\u200cخواهم"),
        ("&lt;책&gt; &amp;amp; &quot;글&quot;&#44032;", '<책> & "글"가'),
        ("a?x=1&para=2&copy=3 R&D AT&T;", "a?x=1&para=2&copy=3 R&D AT&T;"),
        ("줄&lt;br /&gt;바꿈<ref name=a>과</ref> <대역 화랑세기>", "줄 바꿈 <대역 화랑세기>"),
        ("처음<s> 가운데 </s>끝<mask>이다 <<s>unk>", "처음 가운데 끝 이다 < unk>"),
        ("▁나는▁간다 ㅤ빈칸", "나는 간다 빈칸"),
        ("■ 제안이유 ○ 첫째", "제안이유 ○ 첫째"),
        ("-5도까지 내려갔다", "-5도까지 내려갔다"),
        ("\0\x07가\x1b나", "가나"),
        ("", ""),
        (" \u200b ", ""),
    ],
)
def test_clean_text_examples(raw, clean):
    assert clean_text(raw) == clean


@pytest.mark.parametrize(
    ("raw", "repaired"),
    [
        ("시？도지사는 「가법」？「나법」을 본다", "시·도지사는 「가법」·「나법」을 본다"),
        ("아동？청소년의 3？15를 본다", "아동·청소년의 3·15를 본다"),
        ("국가？사회의 유지？보수와 광고？판촉과 예？경보", "국가·사회의 유지·보수와 광고·판촉과 예·경보"),
        ("국내？외의 단가？원가를 보는가？그렇다.", "국내·외의 단가·원가를 보는가？그렇다."),
        ("그것은 무엇인가？그는 대답하지 않았다.", None),
        ("누가 갔을까？아무도 안 갔다.이제 그렇지？모른다.", None),
        ("뭐라고？이게 정말？그래.어디？여기.왜？그냥.", None),
        ("밥 먹었어？응.갈래요？아니.너는？나도.", None),
        ("정말인가？ 그렇다.", None),
        ("강수(强首,？ ~ 692년)는 때 ？기는 몸이다.", None),
    ],
)
def test_a_lost_middle_dot_comes_back_and_a_question_stays(raw, repaired):
    assert repair_korean(raw) == (repaired or raw)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("고든 무어(, 1929년 1월 3일 ~ )는", "고든 무어(1929년 1월 3일 ~ )는"),
        ("지구(地球, , )는 () 행성 (, , )이다 .", "지구(地球)는 행성이다."),
        (
            "[[서울]]은 [[대한민국|한국]]의 [[파일:a.jpg|섬네일|그림]]수도{{출처}}이다.",
            "서울은 한국의 수도이다.",
        ),
        ("'''굵은''' 글씨이다.[12]", "굵은 글씨이다."),
        ("함수 f(x)와 (가, 나)는 그대로다.", "함수 f(x)와 (가, 나)는 그대로다."),
    ],
)
def test_wiki_leftovers_are_removed(raw, clean):
    assert clean_wiki_markup(raw) == clean


@pytest.mark.parametrize(
    ("line", "junk"),
    [
        ("역사.", True),
        ("생애와 후보자.", True),
        ("사건의 개요.", True),
        ("비디오 게임.", True),
        ("캐나다.", True),
        ("1읍 22리로 구성된다.", False),
        ("독주회를 여는 경우가 많다.", False),
        ("그래서 어디로 갔을까?", False),
        ("다음 문서를 참고하세요.", False),
        ("!colspan=2| 합계 || 4 || 4 || 3 || 11", True),
        ("| 이름 || 1929년 서울특별시 종로구 세종로에서 태어났다.", True),
        ("길이가 서른 자를 넘는 줄은 동사로 끝나지 않더라도 남겨 두는 것으로 하였음", False),
    ],
)
def test_headings_are_told_from_short_sentences(line, junk):
    assert is_wiki_junk(line, "ko") is junk


def test_every_short_wiki_line_is_a_heading_in_other_languages():
    assert is_wiki_junk("Географія.", "uk")
    assert not is_wiki_junk("Село розташоване на лівому березі річки Удай.", "uk")


@pytest.mark.parametrize(
    ("language", "sentence", "reason"),
    [
        ("ko", "짧은 글.", "short"),
        ("ko", "가" * 1001, "long"),
        ("ko", "글자가 깨진 문장\ufffd이다.", "broken"),
        ("ko", "여기서 formula_3는 값이다.", "formula"),
        ("ko", "This sentence is English 한글.", "script"),
        ("ko", "1929 1930 1931 1932 1933", "script"),
        ("ko", "삼성 GALAXY S24 ULTRA를 출시했다.", None),
        ("uk", "Село розташоване на березі.", None),
        ("uk", "The village lies on the bank.", "script"),
        ("cy", "Mae'r pentref ar lan yr afon.", None),
        ("und", "1929 1930 1931 1932 1933", "script"),
    ],
)
def test_why_a_sentence_is_dropped(language, sentence, reason):
    assert SentenceFilter(language, 10, 1000, 0.25).reason_to_drop(sentence) == reason


@pytest.mark.parametrize(
    "sentences",
    [
        ["그는 2020. 5. 3. 서울에서 태어났다. ", "키는 175.5cm이다."],
        ['그는 "나는 간다. 안녕."이라고 말했다. ', "모두 웃었다."],
        ['"어디로 갔느냐?"라고 물었다. ', "대답은 없었다."],
        ["그는 간다.라고 말했다. ", "모두 웃었다."],
        ["1964년에 문이 생겼다.", "그는 매일 그곳에 갔다.", "1970년에 닫혔다."],
        ["(주)한국은 1999년에 세워졌다. ", "그리고 끝났다! ", "정말일까? ", "그렇다."],
        ["롱 모델밖에 존재하지 않는다.(2000년) ", "지금은 없다."],
        ["가. 법률의 명칭을 바꾸도록 함(안 제1조). ", "그 밖의 사항을 정함."],
        ["1. 첫째 항목은 이러하다. ", "둘째는 다르다."],
        ["증명하였다(그도 같은 사실을 보였다.). ", "상을 받았다."],
        ["그는 떠났다… ", "나는 남았다."],
        ["이 점… 그것이 중요하다."],
        ["정말 좋다. ", "최고예요 ^^"],
        ["재미있었어요!ㅋㅋ"],
        ["발매되었다. ", "《여신전생》의 감독이 기획했다."],
        ["그것은 무엇인가？", "그는 대답하지 않았다！", "나도 갔다。", "그는 왔다."],
        ["“정말인가？”라고 물었다. ", "그는 갔다."],
        ["강수(强首,？ ~ 692년)는 신라의 유학자이다."],
        ["고려 후기 ？∼1251(고종 38) 문신."],
        ["그는 1485？－1541년 사람이다. ", "-5도였다."],
        ["정유재란 때 ？기는 몸이 되자 강에 투신하였다."],
        ["정말？？", "그렇다."],
    ],
)
def test_korean_sentence_boundaries(sentences):
    assert split_with_sentencex("".join(sentences), "ko") == sentences


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="가나다요. .!?…\"'()「」《》“”123 aB,다라고\n", max_size=60),
    st.sampled_from(["ko", "uk", "cy", "und"]),
)
def test_the_pieces_are_the_line(line, language):
    line = clean_text(line)
    pieces = split_with_sentencex(line, language)
    assert "".join(pieces) == line
    assert all(pieces) or not line


def test_other_languages_are_split():
    assert len(split_with_sentencex("Село стоїть на березі. Населення становить 120 осіб.", "uk")) == 2
    assert len(split_with_sentencex("Mae'n braf heddiw. Dewch gyda ni!", "cy")) == 2


def test_the_default_splitter_on_sentences_split_by_hand():
    """A guard against getting worse; experiments/splitters/result.json has the comparison with others."""
    folder = REPOSITORY / "experiments" / "splitters"
    sys.path.insert(0, str(folder))
    try:
        from compare import score
    finally:
        sys.path.remove(str(folder))
    rows = [json.loads(line) for line in (folder / "gold.jsonl").read_text("utf-8").splitlines()]
    assert score(lambda line: split_with_sentencex(line, "ko"), rows)["f1"] >= 0.89
