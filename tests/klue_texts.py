"""Texts that are hard for offsets and markers, for hypothesis."""

import unicodedata

from hypothesis import strategies as st

PARTS = [
    *"서울 대학교 국회의원 정부 은 는 에서 연구자 김 기관 사회문화 👍 ㅋㅋㅋ".split(),
    *"2021 년 Kim LG a ( ) , . ' ”".split(),
    *("國會", "大韓民國", "𠀀", "ﷺ", "㎢", "①", "Ａ", "Straße", "İ", "뷁", "é", "e\u0301", "ℵ"),
    *("😀", "👩‍👩‍👧", "☀️", "🇰🇷", "\u200b", "\u00ad", "\u200d", "\ufe0f", "\ue000"),
    *("\u00a0", "\u3000", "\u2028", "  ", *[" "] * 12),
    *(unicodedata.normalize("NFD", word) for word in ("국회", "학", "서울은")),
]


def texts(min_size: int = 1, max_size: int = 12) -> st.SearchStrategy[str]:
    """Parts one after another, most of them without a blank between."""
    return st.lists(st.sampled_from(PARTS), min_size=min_size, max_size=max_size).map("".join)
