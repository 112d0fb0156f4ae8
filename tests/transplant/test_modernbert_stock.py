"""An XPT model of a ModernBERT as a stock one: equal without `itl_in`, near with it, and it says how near."""

import pytest
import torch
from placed import placed
from tiny_models import VOCAB, ids, some_labels
from tiny_modernberts import around, make_stock
from torch.nn.functional import cross_entropy
from transformers import AutoModelForMaskedLM, ModernBertForMaskedLM

from modeling_xpt_modernbert import GLOBAL, LOCAL
from xpt.program.errors import XPTError
from xpt.transplant.modernbert_stock import export_stock, to_stock

BATCHES = [
    {"input_ids": ids(2, size, seed=size), "attention_mask": torch.ones(2, size, dtype=torch.long),
     "labels": some_labels(ids(2, size, seed=size))} for size in (9, 24)
]  # fmt: skip


def summed(model, batch):
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum").item()


def test_without_itl_in_it_is_exact(tmp_path):
    model = around(make_stock(num_hidden_layers=3), 0, 2, identity=False)
    losses = export_stock(model, BATCHES, tmp_path / "stock")
    assert abs(losses.difference) < 1e-6 and losses.labels == sum(
        (b["labels"] != -100).sum() for b in BATCHES
    )
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "stock", attn_implementation="eager")
    assert type(again) is ModernBertForMaskedLM and again.config.num_hidden_layers == 5
    assert again.config.layer_types == [GLOBAL, LOCAL, LOCAL, GLOBAL, GLOBAL]
    assert torch.equal(*(placed(one)(ids(2, 30)).logits for one in (again, model)))
    assert {file.name for file in (tmp_path / "stock").iterdir()} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize("fields", [{}, {"norm_bias": True, "attention_bias": True, "mlp_bias": True}])
def test_with_it_the_difference_is_that_of_what_is_written(fields, tmp_path):
    model = around(make_stock(**fields), 2, 1, identity=False).train()
    losses = export_stock(model, BATCHES, tmp_path / "stock")
    assert model.training
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "stock", attn_implementation="eager")
    own, stock = (sum(summed(one.eval(), b) for b in BATCHES) / losses.labels for one in (model, again))
    assert losses.xpt == pytest.approx(own, abs=1e-5) and losses.stock == pytest.approx(stock, abs=1e-5)
    assert losses.difference == pytest.approx(stock - own, abs=2e-5) and losses.difference != 0


def test_identities_behind_an_even_norm_cost_next_to_nothing():
    """All that is approximated is then the deviation of words, which a second norm takes for one."""
    source = make_stock()
    torch.nn.init.ones_(source.model.embeddings.norm.weight)
    source.model.embeddings.tok_embeddings.weight.data *= 10  # the norm's epsilon is nothing beside
    model = around(source, 1, 1)
    found, expected = (one(ids(2, 30)).logits for one in (to_stock(model), model))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_what_itl_in_reads_is_kept_exactly_and_what_it_adds_at_the_scale_of_words():
    model = around(make_stock(), 1, 0, identity=False)
    with torch.no_grad():  # words of one deviation and no mean: nothing is left to approximate in front
        words = model.model.embeddings.tok_embeddings.weight
        words.copy_(torch.nn.functional.layer_norm(torch.randn(VOCAB, 32), (32,)) * 3)
        torch.nn.init.zeros_(model.model.itl_in[0].mlp.Wo.weight)
        torch.nn.init.constant_(model.model.embeddings.norm.weight, 0.5)
    given = ids(2, 30)
    own = model.model(given, output_hidden_states=True).hidden_states
    stock = to_stock(model).model(given, output_hidden_states=True).hidden_states
    torch.testing.assert_close(stock[1], own[1] / 3 * 0.5, rtol=0, atol=1e-4)


def test_nothing_is_written_where_nothing_can_be_measured(tmp_path):
    model = around(make_stock(), 1, 1)
    blank = [{**BATCHES[0], "labels": torch.full_like(BATCHES[0]["labels"], -100)}]
    for batches in ([], blank):
        with pytest.raises(XPTError, match="no token to predict"):
            export_stock(model, batches, tmp_path / "stock")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(XPTError, match="not empty"):
        export_stock(model, BATCHES, tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(
    ("identity", "place", "part", "unscaled"),
    [
        (False, 0, "mlp_norm", "model.itl_in.0.mlp_norm.weight"),
        (True, 1, "attn_norm", "model.embeddings.norm.weight"),  # nothing else is then approximated
    ],
)
def test_each_rescaled_norm_brings_the_export_nearer(identity, place, part, unscaled):
    model = around(make_stock(hidden_size=64), 1, 0, identity=identity)
    with torch.no_grad():  # weights far from even
        weight = torch.exp(torch.randn(64, generator=torch.Generator().manual_seed(1)) / 2)
        model.model.embeddings.norm.weight.copy_(weight)
    expected, stock = model(ids(8, 30)).logits, to_stock(model)
    near = (stock(ids(8, 30)).logits - expected).norm()
    stock.model.layers[place].get_submodule(part).weight.data.copy_(model.get_parameter(unscaled))
    assert (stock(ids(8, 30)).logits - expected).norm() > 1.2 * near
