"""Any model: every family reads and is pooled as it should be, whatever its files leave open."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_models import (
    DECODERS,
    FAMILIES,
    PAIRS_OF_STACKS,
    POSITIONS,
    change_config,
    checkpoint_maker,
    family_tokenizer,
    make_checkpoint,
)
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from xpt.finetune.backbone import open_backbone
from xpt.finetune.batches import pad_batch
from xpt.program.errors import XPTError

HEADS = {
    "sequence": (AutoModelForSequenceClassification, 3),
    "token": (AutoModelForTokenClassification, 5),
    "span": (AutoModelForQuestionAnswering, 2),
}
WORDS = st.lists(
    st.sampled_from("국회는 오늘 법을 학생은 2021년 Kim 읽었다. </s> [SEP]".split()), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    return checkpoint_maker(tmp_path_factory.mktemp("models"))


@pytest.fixture
def own_checkpoint(tmp_path):
    """Give `own_checkpoint(family)` a folder that may be changed."""
    return lambda family: make_checkpoint(family, tmp_path / family)


def loaded(folder, head="sequence"):
    auto_class, labels = HEADS[head]
    backbone = open_backbone(str(folder))
    return backbone, backbone.load(auto_class, num_labels=labels).eval()


def rows_of(backbone, texts, length=POSITIONS):
    """Singles and pairs alike, as tasks make them."""
    encoder = backbone.encoder_for(length)
    first, second = (encoder.pieces([pair[side] for pair in texts]) for side in (0, 1))
    return [
        encoder.pair(*encoder.cut_pair(one.ids, two.ids)) for one, two in zip(first, second, strict=True)
    ], encoder


def outputs(model, rows, encoder):
    with torch.no_grad():
        output = model(**pad_batch(rows, encoder.padding))
    names = [name for name in ("logits", "start_logits", "end_logits") if name in output]
    return [torch.stack([output[name][row] for name in names]) for row in range(len(rows))]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_row_is_batched_with_changes_nothing_about_it(family, head, checkpoint):
    if (family, head) == ("bart", "token"):
        with pytest.raises(XPTError, match="no AutoModelForTokenClassification for bart; take"):
            loaded(checkpoint(family), head)
        return
    backbone, model = loaded(checkpoint(family), head)

    @settings(max_examples=4, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=3))
    def check(pairs):
        rows, encoder = rows_of(backbone, [(" ".join(one), " ".join(two)) for one, two in pairs])
        rows.append(rows_of(backbone, [("국회는 오늘 법을 " * 4, "법을")])[0][0])
        for row, together in zip(rows, outputs(model, rows, encoder), strict=True):
            (alone,) = outputs(model, [row], encoder)
            if head != "sequence":
                together = together[:, : len(row["input_ids"])]
            torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_cut_to_what_the_model_can_read_and_not_a_token_shorter(family, checkpoint):
    backbone, model = loaded(checkpoint(family))
    assert backbone.max_positions == (None if family == "t5" else POSITIONS)
    (row,), encoder = rows_of(backbone, [("국회는 오늘 법을 검토하였다 " * 9, "학생은 읽었다 " * 9)], 10_000)
    if family == "t5":
        assert len(row["input_ids"]) > POSITIONS
    else:
        assert len(row["input_ids"]) == POSITIONS
    assert torch.stack(outputs(model, [row], encoder)).isfinite().all()
    if family not in ("t5", "gpt_neox", "deberta-v2"):  # those have no table of absolute positions that ends
        longer = {name: values[:1] + values[1:2] + values[1:] for name, values in row.items()}
        with pytest.raises((IndexError, ValueError, RuntimeError)):
            outputs(model, [longer], encoder)


def test_an_encoder_counts_positions_from_the_padding_it_was_trained_with(own_checkpoint, tmp_path):
    folder = own_checkpoint("roberta")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.pad_token = "<mask>"  # another row than the configuration's
    tokenizer.save_pretrained(folder)
    backbone, model = loaded(folder)
    model.save_pretrained(tmp_path / "saved")
    change_config(tmp_path / "saved", pad_token_id=1)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    rows, encoder = rows_of(backbone, [("국회는 오늘", "법을"), ("학생은", "책을 어제 빠르게 읽었다.")])
    assert encoder.padding["input_ids"] == tokenizer.pad_token_id != 1
    for row, got in zip(rows, outputs(model, rows, encoder), strict=True):
        with torch.no_grad():
            expected = stock(input_ids=torch.tensor([row["input_ids"]])).logits
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_is_pooled_on_the_last_token_that_is_no_padding(family, checkpoint):
    backbone, model = loaded(checkpoint(family))
    pad = backbone.tokenizer.pad_token_id
    assert model.config.pad_token_id == pad
    assert (pad == backbone.tokenizer.eos_token_id) == (family == "gpt_neox")
    for text in ("국회는 오늘", "국회는 오늘 법을 검토하였다."):
        encoder = backbone.encoder_for(POSITIONS)
        ids = encoder.pieces([text])[0].ids
        ended = torch.tensor(
            [[*ids, pad, pad]]
        )  # an end of its own, where that is what pads, counts as padding
        with torch.no_grad():
            states = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state
            got = model(input_ids=ended, attention_mask=ended.ne(pad).long()).logits
            torch.testing.assert_close(got[0], model.score(states)[0, -1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", PAIRS_OF_STACKS)
def test_an_encoder_decoder_gets_one_end_a_text_and_keeps_it_when_saved(family, checkpoint, tmp_path):
    backbone, model = loaded(checkpoint(family))
    end = model.config.eos_token_id
    rows, encoder = rows_of(backbone, [("국회는 </s> 오늘", "법을"), ("학생은", "</s></s>")])
    assert [row["input_ids"].count(end) for row in rows] == [2, 2]
    assert {row["input_ids"][-1] for row in rows} == {end}
    single = encoder.sequence(encoder.pieces(["국회는 오늘"])[0].ids)
    assert single["input_ids"].count(end) == 1 and single["input_ids"][-1] == end
    backbone.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("국회는 오늘")["input_ids"] == single["input_ids"]
    (pair,), _ = rows_of(backbone, [("국회는 오늘", "법을")])
    assert again("국회는 오늘", "법을")["input_ids"] == pair["input_ids"]


def test_a_tokenizer_is_read_as_its_file_says_not_as_its_family_would(checkpoint):
    folder, written = checkpoint("gpt2"), family_tokenizer("gpt2")
    text = "국회는 오늘 법을 검토하였다."
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] != written(text)["input_ids"]
    backbone = open_backbone(str(folder))
    assert backbone.tokenizer(text)["input_ids"] == written(text)["input_ids"]
    assert (backbone.tokenizer.pad_token, backbone.tokenizer.eos_token) == ("<pad>", "</s>")
    assert loaded(folder)[1].get_input_embeddings().num_embeddings == len(written)
