"""The fast path against the stock operations it replaces."""

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_modernberts import make_xpt
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, GPT2Config
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.training.fast.attention import LONGEST, cpu_attention
from xpt.training.fast.dropout import FastDropout, blanked, kept
from xpt.training.fast.path import fast_path
from xpt.training.trainable import set_trainable

CPU = torch.device("cpu")
MODULE = nn.Module()
MODULE.is_causal = False


def random_mask(generator: torch.Generator, batch: int, length: int, columns: int) -> torch.Tensor:
    """(batch, 1, length, columns), every row with at least one token to attend to."""
    mask = torch.rand(batch, 1, length, columns, generator=generator) < 0.5
    mask[..., 0] = True
    return mask


@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    length=st.integers(1, 9),
    columns=st.integers(1, 9),
    size=st.integers(1, 8),
    masked=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60)
def test_attention_and_its_gradients_are_those_of_sdpa(batch, heads, length, columns, size, masked, seed):
    generator = torch.Generator().manual_seed(seed)

    def tensor(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = tensor(batch, heads, length, size), tensor(batch, heads, columns, size)
    inputs += (tensor(batch, heads, columns, size),)
    mask = random_mask(generator, batch, length, columns) if masked else None
    weights = torch.randn(batch, length, heads, size, generator=generator, dtype=torch.float64)
    found = []
    for function in (cpu_attention, sdpa_attention_forward):
        output, _ = function(MODULE, *inputs, mask, scaling=0.3)
        found.append((output, *torch.autograd.grad((output * weights).sum(), inputs)))
    for ours, stock in zip(*found, strict=True):
        torch.testing.assert_close(ours, stock, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_attention_are_those_of_what_it_computes(dropout):
    inputs = [torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = random_mask(torch.Generator().manual_seed(0), 2, 3, 3)

    def attend(*tensors):
        torch.manual_seed(5)  # the same ones are dropped at every call
        return cpu_attention(MODULE, *tensors, mask, dropout=dropout)[0]

    assert torch.autograd.gradcheck(attend, inputs)


def test_attention_drops_and_makes_up_for_it():
    torch.manual_seed(0)
    query, key = torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 400, 4)
    value = torch.ones(1, 1, 400, 4)
    means = torch.stack(
        [
            cpu_attention(MODULE, query.requires_grad_(), key, value, None, dropout=0.25)[0].mean()
            for _ in range(300)
        ]
    )
    assert means.std() > 0.01  # something is dropped, something else each time
    assert abs(means.mean() - 1) < 0.01


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.999])
def test_share_of_dropped_elements(p):
    torch.manual_seed(1)
    keep = blanked(torch.ones(1001, 999), kept(torch.Size((1001, 999)), p))
    share = 1 - keep.double().mean().item()
    assert abs(share - p) < 5 * (p * (1 - p) / keep.numel()) ** 0.5 + 2**-16
    rows, columns = keep.double().mean(0), keep.double().mean(1)
    for means, count in ((rows, 1001), (columns, 999)):  # no place is dropped more often than another
        assert (means - (1 - p)).abs().max() < 6.5 * (p * (1 - p) / count) ** 0.5 + 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_blanked_elements_are_zero_whatever_they_were_and_all_others_stay_to_the_bit(dtype):
    inputs = torch.randn(40, 30, dtype=torch.float64).to(dtype).t()  # not contiguous
    inputs[::3] = torch.inf
    keep = kept(inputs.shape, 0.4)
    assert set(keep.unique().tolist()) == {0, -1}
    assert torch.equal(blanked(inputs, keep), torch.where(keep != 0, inputs, 0))


def test_what_is_dropped_follows_the_generator_of_torch():
    state = torch.get_rng_state()
    first, second = kept(torch.Size((99,)), 0.5), kept(torch.Size((99,)), 0.5)
    torch.set_rng_state(state)
    assert torch.equal(first, kept(torch.Size((99,)), 0.5)) and not torch.equal(first, second)


def test_dropout_scales_what_stays_and_its_gradient_follows():
    torch.manual_seed(2)
    layer = FastDropout(0.3)
    inputs = torch.rand(50, 7).add_(1).requires_grad_()
    output = layer(inputs)
    (gradient,) = torch.autograd.grad(output.sum(), inputs)
    dropped = output == 0
    assert 0 < dropped.sum() < dropped.numel()
    torch.testing.assert_close(output, torch.where(dropped, 0, inputs / 0.7))
    torch.testing.assert_close(gradient, torch.where(dropped, 0, torch.full_like(inputs, 1 / 0.7)))
    assert not torch.equal(layer(inputs), output)
    assert torch.equal(layer.eval()(inputs), inputs)


def model_and_batch(dropout: float):
    torch.manual_seed(3)
    config = XPTRobertaConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        sparse_prediction=True,
    )
    ids = torch.randint(5, 60, (3, 12))
    segment = torch.tensor([[0] * 5 + [1] * 7, [0] * 12, [0] * 3 + [1] * 4 + [2] * 5])
    batch = {
        "input_ids": ids,
        "labels": torch.where(torch.rand(3, 12) < 0.4, ids, -100),
        "attention_mask": (segment[:, :, None] == segment[:, None, :])[:, None],
        "position_ids": torch.arange(12).expand(3, 12) + 2,
    }
    return XPTRobertaForMaskedLM(config).train(), batch


@pytest.mark.parametrize("train", [["all"], ["word_embeddings", "itl", "lm_head_bias"]])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("modern", [True, False])
def test_a_step_on_the_fast_path_is_a_step_on_the_reference_path(train, packed, modern):
    model, batch = model_and_batch(dropout=0.0)
    if modern:  # whose windows are shorter than the texts
        model = make_xpt(implementation="sdpa", sparse_prediction=True).train()
    if not packed:
        batch["attention_mask"] = torch.tensor([[1] * 12, [1] * 8 + [0] * 4, [1] * 5 + [0] * 7])
        # What padding reads is nothing where a window holds no token, and that is nobody's loss.
        batch["labels"] = batch["labels"].masked_fill(batch["attention_mask"] == 0, -100)
    set_trainable(model, train)
    found = []
    for enabled in (True, False):
        with fast_path(model, CPU, enabled):
            loss = model(**batch).loss
            loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
        model.zero_grad()
    assert len(found[0]) == len(found[1]) > 5
    for fast, reference in zip(*found, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-4, atol=1e-6)


def test_all_that_the_path_replaces_is_put_back(tmp_path):
    model, batch = model_and_batch(dropout=0.5)
    kinds = [type(module) for module in model.modules()]
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    with pytest.raises(RuntimeError, match="stop"), fast_path(model, CPU):
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is cpu_attention
        assert any(type(module) is FastDropout for module in model.modules())
        model(**batch)
        model.save_pretrained(tmp_path)
        raise RuntimeError("stop")
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
    assert [type(module) for module in model.modules()] == kinds
    assert not any("fast" in file.read_text() for file in tmp_path.glob("*.json"))


def test_on_an_accelerator_nothing_is_replaced():
    model, _ = model_and_batch(dropout=0.5)
    with fast_path(model, torch.device("cuda")):
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is sdpa_attention_forward
        assert not any(type(module) is FastDropout for module in model.modules())


def test_a_decoder_stays_blind_to_what_comes():
    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, pad_token_id=0)
    check_family(config, torch.randint(1, 50, (2, 9)))


def test_an_encoder_of_another_family():
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    check_family(config, torch.randint(1, 50, (2, 9)))


def check_family(config, ids):
    """Logits and gradients with and without the path, dropout off."""
    for name in list(vars(config)):
        if "drop" in name and isinstance(getattr(config, name), float):
            setattr(config, name, 0.0)
    torch.manual_seed(4)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa").train()
    found = []
    for path in (fast_path(model, CPU), nullcontext()):
        with path:
            logits = model(ids).logits
            found.append(
                (logits, *torch.autograd.grad(logits.sum(), list(model.parameters()), allow_unused=True))
            )
    for fast, stock in zip(*found, strict=True):
        if stock is not None:
            torch.testing.assert_close(fast, stock, rtol=1e-4, atol=1e-6)


def test_what_it_cannot_do_goes_to_sdpa():
    """Grouped heads, a mask or bias that is added, long rows: what sdpa gives, not an error."""
    query = torch.randn(1, 4, 3, 8, requires_grad=True)
    added = torch.randn(1, 1, 3, 3)
    key, value = torch.randn(1, 4, 3, 8), torch.randn(1, 4, 3, 8)
    for mask in (added, None):
        ours = cpu_attention(MODULE, query, key, value, mask)[0]
        torch.testing.assert_close(ours, sdpa_attention_forward(MODULE, query, key, value, mask)[0])
    grouped = nn.Module()
    grouped.is_causal = False
    grouped.num_key_value_groups = 2
    few = torch.randn(1, 2, 3, 8)
    ours = cpu_attention(grouped, query, few, few, None)[0]
    assert torch.equal(ours, sdpa_attention_forward(grouped, query, few, few, None)[0])
    bias = torch.randn(1, 4, 3, 3)
    ours = cpu_attention(MODULE, query, key, value, None, position_bias=bias)[0]
    assert torch.equal(ours, sdpa_attention_forward(MODULE, query, key, value, None, position_bias=bias)[0])
    long = torch.randn(1, 1, LONGEST + 1, 4, requires_grad=True)
    output = cpu_attention(MODULE, long, long, long, None)[0]
    assert output.grad_fn is not None
    assert torch.equal(output, sdpa_attention_forward(MODULE, long, long, long, None)[0])


FAULTS = """
import ctypes, resource, sys, torch
from xpt.training.fast.memory import keep_freed_memory
PR_SET_THP_DISABLE = 41
if sys.platform == "linux":  # pages of 4 KiB, whatever this machine prefers
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
for _ in range(20):
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_freed_memory_is_kept():
    counts = {}
    for mode in ("give back", "keep"):
        done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True)
        if done.returncode == 3:
            pytest.skip("not glibc")
        counts[mode] = int(done.stdout)
    # 64 MiB are 16,384 pages of 4 KiB, touched once rather than twenty times.
    assert counts["give back"] - counts["keep"] > 15 * 16_384 * 0.5
