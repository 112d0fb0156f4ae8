"""A native folder in other people's tools: sentence-transformers, ONNX and onnxruntime."""

import runpy

import numpy as np
import pytest
import torch
from places import REPO
from tiny_models import HEADS, KINDS, PAD, batch_for, outputs, random_model
from transformers import AutoModel

from xpt.release.native import export_native
from xpt.text.tokenizer import save_tokenizer
from xpt.transplant.native_model import to_native

INT8 = REPO / "experiments" / "native" / "int8.py"
SENTENCES = ["한국어 문장이다.", "짧다", "길고 긴 문장 " * 60]


@pytest.fixture
def native(tmp_path, tiny_tokenizer):
    """The native folder of a tiny post-trained model."""
    random_model(vocab_size=len(tiny_tokenizer), num_itl_in=2).save_pretrained(tmp_path / "xpt")
    save_tokenizer(tiny_tokenizer, tmp_path / "xpt")
    export_native(tmp_path / "xpt", tmp_path / "native")
    return tmp_path / "native"


@pytest.mark.slow
def test_sentence_transformers_means_over_the_tokens(native, tiny_tokenizer):
    from sentence_transformers import SentenceTransformer

    found = SentenceTransformer(str(native), device="cpu", local_files_only=True).encode(SENTENCES)
    model = AutoModel.from_pretrained(native, add_pooling_layer=False).eval()
    for sentence, vector in zip(SENTENCES, found, strict=True):
        inputs = tiny_tokenizer(sentence, truncation=True, max_length=38, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)
    assert len(tiny_tokenizer(SENTENCES[2])["input_ids"]) > 38  # longer than the model has positions


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in HEADS if not name.endswith("MultipleChoice")])
def test_onnxruntime_gives_the_same_numbers(kind, name, tmp_path):
    tools = runpy.run_path(str(INT8))
    ours = random_model(name, kind)
    tools["export_onnx"](to_native(ours) if kind == "xpt" else ours, tmp_path / "model.onnx")
    batch = {key: batch_for(name)[key] for key in ("input_ids", "attention_mask")}
    for size in (3, 1):
        part = {key: value[:size, 1:] for key, value in batch.items()}
        got = tools["onnx_output"](tmp_path / "model.onnx", **part)
        np.testing.assert_allclose(got, outputs(ours, part)[0].numpy(), atol=1e-4)
    assert (batch["input_ids"] == PAD).any()
