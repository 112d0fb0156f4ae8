"""MRC's heads on several families of models: weights are kept, learning works, saved ones come back."""

import copy

import numpy as np
import pytest
import torch
from conftest import korean_sentences
from klue_spans import covered
from klue_tokenizers import make_tokenizer
from learning import learned_by_heart
from placed import placed
from transformers import (
    AutoModelForQuestionAnswering,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.finetune.backbone import open_backbone
from xpt.finetune.klue.mrc import MRC, Question

TASK = MRC()
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 64}
BART |= {f"{side}_{what}": number for side in ("encoder", "decoder") for what, number in
         (("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
FAMILIES = {
    "xpt": (XPTRobertaForMaskedLM, XPTRobertaConfig, {**SHAPE, "max_position_embeddings": 66}),
    "trelm": (TreLMRobertaForMaskedLM, TreLMRobertaConfig, {**SHAPE, "max_position_embeddings": 66}),
    "bert": (BertForMaskedLM, BertConfig, {**SHAPE, "max_position_embeddings": 64}),
    "gpt2": (GPT2LMHeadModel, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {**SHAPE, "num_key_value_heads": 4, "head_dim": 8}),
    "bart": (BartForConditionalGeneration, BartConfig, BART),
    "t5": (T5ForConditionalGeneration, T5Config, T5),
}  # fmt: skip


def backbone(family, folder):
    """A random model of the family with a tokenizer of bytes, opened."""
    torch.manual_seed(0)
    tokenizer = copy.deepcopy(make_tokenizer("bytes"))
    model_class, config_class, shape = FAMILIES[family]
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 0, "eos_token_id": 2}
    model = model_class(config_class(vocab_size=len(tokenizer), **shape, **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_backbone(str(folder)), model


def asked(count=8):
    """Questions about short contexts, every fourth of which cannot be answered."""
    found = []
    for index, context in enumerate(korean_sentences(count)):
        words = context.split()
        text, question = (words[0], "누가?") if index % 2 else (words[2], "무엇의?")
        answers = ((text, context.index(text)),) if index % 4 else ()
        question = question if answers else "왜?"
        found.append(Question(f"q{index}", "", context, question, answers, not answers, 1 if answers else 3))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_its_weights_learns_and_comes_back(family, tmp_path):
    opened, source = backbone(family, tmp_path / "source")
    model = TASK.build(opened)
    known = [parameter for parameter in source.parameters()]
    for name, parameter in model.named_parameters():
        if not name.startswith("qa_outputs"):
            assert any(parameter.shape == old.shape and torch.equal(parameter, old) for old in known), name
    reader, examples = opened.encoder_for(510), asked()
    assert reader.max_length == min(510, opened.max_positions or 510)
    features = TASK.features(examples, reader, training=True)
    batch = TASK.collate(features, reader)
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    model.train()(**batch).loss.backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for n, p in model.named_parameters() if "qa_" in n
    )
    placed(model).eval()
    scored = TASK.collate(TASK.features(examples, reader, training=False), reader)
    with torch.no_grad():
        learned = model(**batch)
        losses = [
            torch.nn.functional.cross_entropy(learned[f"{side}_logits"], batch[f"{side}_positions"])
            for side in ("start", "end")
        ]
        assert learned.loss.item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)
        rows = TASK.outputs(model(**scored), scored)
        alone = TASK.collate([TASK.features(examples, reader, training=False)[0]], reader)
        single = TASK.outputs(model(**alone), alone)
        model.save_pretrained(tmp_path / "saved")
        again = placed(AutoModelForQuestionAnswering.from_pretrained(tmp_path / "saved")).eval()
        for got, expected in zip(TASK.outputs(again(**scored), scored), rows, strict=True):
            assert np.array_equal(got, expected)
    assert [row.shape for row in rows] == [(2, len(feature.inputs["input_ids"])) for feature in features]
    np.testing.assert_allclose(single[0], rows[0], atol=1e-5)  # padding changes nothing


@pytest.mark.learned
def test_a_tiny_model_learns_every_answer(tmp_path):
    opened, _ = backbone("xpt", tmp_path)
    reader, examples = opened.encoder_for(510), asked(12)
    model = TASK.build(opened)
    batch = TASK.collate(TASK.features(examples, reader, training=True), reader)
    features = TASK.features(examples, reader, training=False)
    scored = TASK.collate(features, reader)
    expected = [
        covered(reader.tokenizer, example.context, start, start + len(text))
        for example in examples
        for text, start in example.answers or (("", 0),)
    ]
    assert "" in expected and len(set(expected)) > 5

    def knows(_):
        with torch.no_grad():
            rows = TASK.outputs(model(**scored), scored)
        return [line["text"] for line in TASK.predictions(examples, features, rows)] == expected

    assert learned_by_heart(model, batch, knows, rate=3e-3)
