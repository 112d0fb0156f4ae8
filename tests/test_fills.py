"""What is shown to the reader: prompts from all over the text, pieces that tell where a word begins."""

import runpy
from pathlib import Path

import pytest
from conftest import korean_sentences
from klue_tokenizers import make_tokenizer
from ready_tokenizers import leave_a_hole, wordpiece

from xpt.fills import choose_prompts, shown_piece

SHOWN = [  # kind, piece, as a reader sees it
    ("metaspace", "▁한다", "한다"),
    ("metaspace", "한다", "##한다"),
    ("metaspace", "▁", "(space)"),
    ("metaspace", "<mask>", "<mask>"),
    ("metaspace", ".", "##."),
    ("wordpiece", "기", "기"),
    ("wordpiece", "##기", "##기"),
    ("wordpiece", "[SEP]", "[SEP]"),
    ("bytes", "Ġ", "(space)"),
    ("bytes", "a", "##a"),
    ("bytes", "#", "###"),
    ("character", "가", "##가"),
    ("character", " ", "(space)"),
]


@pytest.mark.parametrize(("kind", "piece", "shown"), SHOWN)
def test_a_piece_tells_whether_it_begins_a_word(kind, piece, shown):
    tokenizer = make_tokenizer(kind)
    index = tokenizer.convert_tokens_to_ids(piece)
    assert tokenizer.convert_ids_to_tokens(index) == piece
    assert shown_piece(tokenizer, index) == shown


def test_words_of_bytes_are_legible():
    tokenizer = make_tokenizer("bytes")
    longest = max((piece for piece in tokenizer.get_vocab() if piece.startswith("Ġ")), key=len)
    index = tokenizer.convert_tokens_to_ids(longest)
    assert shown_piece(tokenizer, index) == tokenizer.decode([index])[1:] != ""


def test_every_piece_of_the_ready_tokenizer_is_shown_by_its_mark(shipped):
    """Both by the package, and by the script that shows the demo's result without it."""
    of_demo = runpy.run_path(str(Path(__file__).parents[1] / "demo" / "load.py"))["shown"]
    ordinary = sorted(set(range(4, 31_999, 7)) - set(shipped.all_special_ids))
    for index in ordinary:
        piece = shipped.convert_ids_to_tokens(index)
        expected = piece.replace("▁", "", 1) if piece.startswith("▁") else "##" + piece
        assert shown_piece(shipped, index) == of_demo(shipped, index) == (expected or "(space)")


def test_an_id_of_nothing_is_shown_as_such():
    assert shown_piece(wordpiece(change=leave_a_hole), 20) == "(none)"


@pytest.mark.parametrize("kind", ["wordpiece", "bytes", "metaspace"])
def test_prompts_are_of_different_documents(kind):
    tokenizer = make_tokenizer(kind)
    sentences = [
        f"{document}번째 글은 {sentence}"
        for document in range(6)
        for sentence in korean_sentences(20, document)
    ]
    prompts = choose_prompts(sentences, tokenizer, 3, 64)
    assert len(prompts) == 3
    assert len({prompt.text.split("번째")[0] for prompt in prompts}) == 3
    for prompt in prompts:
        assert prompt.text.count(tokenizer.mask_token) == 1
        whole = prompt.text.replace(tokenizer.mask_token, prompt.answer)
        assert whole in sentences and f" {prompt.answer} " in whole
        assert prompt.ids[prompt.position] == tokenizer.mask_token_id
        ids = tokenizer(whole)["input_ids"]
        assert tokenizer.decode([ids[prompt.position]]).strip() == prompt.answer
        assert [*prompt.ids[: prompt.position], *prompt.ids[prompt.position + 1 :]] == [
            *ids[: prompt.position],
            *ids[prompt.position + 1 :],
        ]


def test_a_sentence_that_spells_a_mask_is_not_shown_but_one_that_spells_an_end_is(shipped):
    sentences = [
        f"이 글에서 {token} 라고 쓰면 모델이 그 자리를 채운다고 저는 읽었다." for token in ("<mask>", "</s>")
    ]
    assert choose_prompts(sentences[:1], shipped, 1, 64) == []
    (prompt,) = choose_prompts(sentences, shipped, 1, 64)
    assert [prompt.ids.count(index) for index in (0, 2, 31_999)] == [1, 1, 1]
    assert (prompt.ids[0], prompt.ids[-1], prompt.ids[prompt.position]) == (0, 2, 31_999)


def test_nothing_to_show_is_no_mistake(shipped):
    assert choose_prompts([], shipped, 3, 64) == [] == choose_prompts(["짧다."] * 9, shipped, 3, 64)
    assert choose_prompts(korean_sentences(50), shipped, 0, 64) == []
    assert choose_prompts(korean_sentences(50), shipped, 3, 8) == []
