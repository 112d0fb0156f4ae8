"""What the page says, in Korean and in English."""

from typing import Any

LANGUAGES = {"한국어": "ko", "English": "en"}

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("XPT: 영어 인코더가 배운 한국어", "XPT: an English encoder that learned Korean"),
    "introduction": (
        "영어로 학습한 인코더의 앞뒤에 암묵적 번역 층(ITL)을 붙여 한국어를 가르친 모델입니다.",
        "An encoder trained on English learned Korean between two implicit translation layers (ITLs).",
    ),
    "trelm_title": ("TreLM: 영어 인코더가 배운 한국어", "TreLM: an English encoder that learned Korean"),
    "trelm_introduction": (
        "영어로 학습한 인코더의 한가운데에 TRILayer를 넣어 한국어를 가르친 모델입니다.",
        "An encoder trained on English learned Korean around a TRILayer in its middle.",
    ),
    "language": ("언어 · Language", "언어 · Language"),
    "fill_tab": ("빈칸 채우기", "Fill the blank"),
    "fill_text": ("문장 (빈칸은 <mask>)", "Sentence (the blank is <mask>)"),
    "fill_button": ("빈칸 채우기", "Fill"),
    "fill_note": (
        "막대는 모델이 준 확률입니다. ##은 앞말에 붙는 조각입니다.",
        "Bars show the model's probabilities; a piece with ## continues the word before it.",
    ),
    "blank": ("빈칸 {number}", "Blank {number}"),
    "attention_tab": ("번역 층의 주의", "Attention"),
    "attention_text": ("문장", "Sentence"),
    "attention_button": ("주의 보기", "Show attention"),
    "attention_note": (
        "행의 조각이 열의 조각을 보는 만큼 칸이 진합니다. 칸을 가리키면 값이 나옵니다.",
        "The darker a cell, the more its row's piece looks at its column's. Point at a cell for the value.",
    ),
    "head": ("주의 머리", "Attention head"),
    "all_heads": ("모든 머리의 평균", "mean of all heads"),
    "itl_in": ("itl_in (영어 층 앞)", "itl_in (before the English layers)"),
    "itl_out": ("itl_out (영어 층 뒤)", "itl_out (after the English layers)"),
    "tri": ("TRILayer (두 절반 사이)", "TRILayer (between the halves)"),
    "first_layer": ("첫 층", "first layer"),
    "last_layer": ("마지막 층", "last layer"),
    "nli_tab": ("문장 관계", "Inference"),
    "premise": ("전제", "Premise"),
    "hypothesis": ("가설", "Hypothesis"),
    "nli_button": ("관계 판단", "Judge"),
    "topic_tab": ("주제 분류", "Topic"),
    "headline": ("뉴스 제목", "Headline"),
    "topic_button": ("주제 분류", "Classify"),
    "examples": ("예문", "Examples"),
    "empty": ("문장을 입력해 주세요.", "Please type a sentence."),
    "no_mask": (
        "빈칸으로 둘 자리에 <mask>를 넣어 주세요. 예: 국회는 <mask> 대표 기관이다.",
        "Please put <mask> where the blank is, as in: 국회는 <mask> 대표 기관이다.",
    ),
    "many_masks": ("빈칸은 {most}개까지 쓸 수 있습니다.", "There can be {most} blanks at most."),
    "many_characters": (
        "글이 너무 깁니다: {length:,}자. {most:,}자까지 쓸 수 있습니다.",
        "The text is too long: {length:,} characters, and {most:,} fit.",
    ),
    "too_long": (
        "글이 너무 깁니다: {length}조각. 이 모델은 {most}조각까지 읽습니다.",
        "The text is too long: {length} pieces, and this model reads {most}.",
    ),
    "too_long_to_draw": (
        "그리기에는 문장이 깁니다: {length}조각. {most}조각까지 그립니다.",
        "The sentence is too long to be drawn: {length} pieces, and {most} fit.",
    ),
}

# Labels of KLUE's tasks; another label is shown as the model names it.
LABELS = {
    "entailment": ("함의", "entailment"),
    "contradiction": ("모순", "contradiction"),
    "neutral": ("중립", "neutral"),
    "정치": ("정치", "politics"),
    "경제": ("경제", "economy"),
    "사회": ("사회", "society"),
    "생활문화": ("생활·문화", "life and culture"),
    "세계": ("세계", "world"),
    "IT과학": ("IT·과학", "IT and science"),
    "스포츠": ("스포츠", "sports"),
}


def say(key: str, language: str, **facts: Any) -> str:
    """The text of `key` in a language, "ko" or "en"."""
    return TEXTS[key][language == "en"].format(**facts)


def say_label(label: str, language: str) -> str:
    """A model's label in a language."""
    return LABELS.get(label, (label, label))[language == "en"]


def say_title(title: str, language: str) -> str:
    """A checkpoint's title in a language; the operator may give both, Korean first, with `|` between."""
    korean, _, english = title.partition("|")
    return (english or korean if language == "en" else korean).strip()
