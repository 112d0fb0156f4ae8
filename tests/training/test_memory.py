"""A long run's memory: sizes that return from step to step, and a heap that does not grow."""

import json
import mmap
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from places import REPO
from tiny_examples import make_examples
from tiny_models import LENGTH, VOCAB, gradients, ids, make, some_labels
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modeling_xpt import gather_predicted
from xpt.finetune.batches import pad_batch
from xpt.finetune.predict import length_batches
from xpt.program.environment import resident_memory_mib
from xpt.program.formatting import short_size
from xpt.run.folder import Run
from xpt.run.progress import PhaseProgress
from xpt.text.lengths import padded_length
from xpt.text.masking import MLMCollator
from xpt.text.packing import Row, RowStream
from xpt.training.evaluation import TOKENS_PER_BATCH, _batches


class Sizes(TorchDispatchMode):
    """Bytes of every tensor that operations give, above `least`."""

    def __init__(self, least: int):
        super().__init__()
        self.least, self.seen = least, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.seen |= {tensor.untyped_storage().nbytes() for tensor in tensors}
        return result

    @property
    def large(self) -> frozenset[int]:
        return frozenset(size for size in self.seen if size >= self.least)


def test_the_tensors_of_a_step_have_sizes_that_return():
    """Of 60 steps with other numbers of masked tokens, all allocate what one of three steps allocates."""
    model = make(implementation="sdpa", vocab_size=500).train()
    model.config.sparse_prediction = True
    counts, profiles = set(), set()
    for step in range(60):
        input_ids = ids(16, LENGTH, seed=step)
        labels = some_labels(input_ids, 0.3, seed=step)
        counts.add(int((labels != -100).sum()))
        with Sizes(least=4096) as sizes:
            gradients(model, input_ids=input_ids, labels=labels)
        profiles.add(sizes.large)
    assert len(counts) > 15 and max(counts) - min(counts) > 20
    # 58 +- 6 tokens are predicted: 40, 44, 48, 52, 56, 60 or 64, then 72 and 80.
    assert len(profiles) <= 9


@given(rate=st.floats(0, 1), seed=st.integers(0, 1000))
def test_fillers_change_neither_loss_nor_gradient_and_are_few(rate, seed):
    features = torch.randn(3, LENGTH, 8, requires_grad=True)
    labels = some_labels(ids(3, LENGTH, seed=seed), rate, seed)
    chosen = labels != -100
    gathered, wanted, predicted = gather_predicted(features, labels)
    assert predicted == chosen.sum() and len(gathered) == len(wanted)
    assert predicted <= len(wanted) <= predicted * 9 / 8
    assert torch.equal(gathered[:predicted], features[chosen])
    assert torch.equal(wanted[:predicted], labels[chosen]) and (wanted[predicted:] == -100).all()


def test_few_counts_of_predicted_tokens():
    """Between 1,024 and 2,048 there are eight, and each is filled up to the next."""
    counts = set()
    for predicted in range(1025, 2049):
        labels = torch.full((1, 2048), -100)
        labels[0, :predicted] = 5
        counts.add(len(gather_predicted(torch.zeros(1, 2048, 1), labels)[0]))
    assert sorted(counts) == [1152, 1280, 1408, 1536, 1664, 1792, 1920, 2048]


def test_logits_are_those_of_the_predicted_tokens_alone():
    model = make()
    model.config.sparse_prediction = True
    input_ids = ids(4, LENGTH)
    labels = torch.full_like(input_ids, -100)
    labels[:, :7] = input_ids[:, :7]  # 28, filled up to 28; and 29, filled up to 30
    assert model(input_ids, labels=labels).logits.shape == (28, VOCAB)
    labels[0, 7] = 5
    output = model(input_ids, labels=labels)
    assert output.logits.shape == (29, VOCAB)
    expected = torch.nn.functional.cross_entropy(output.logits, labels[labels != -100])
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("shape", [(2, LENGTH + 1), (3, LENGTH), (2, LENGTH - 1)])
def test_labels_of_other_tokens_are_refused(shape):
    model = make()
    model.config.sparse_prediction = True
    with pytest.raises(ValueError, match=r"labels \(\d+, \d+\) do not fit tokens \(2, 12\)"):
        model(ids(2, LENGTH), labels=torch.full(shape, -100))


# ---- lengths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("longest", "most", "length"),
    [
        (1, 128, 8),
        (8, 128, 8),
        (9, 128, 16),
        (33, 128, 40),
        (64, 128, 64),
        (65, 128, 80),
        (113, 128, 128),
        (129, 512, 160),
        (257, 510, 320),
        (449, 510, 510),  # no more than the model takes
        (3, 5, 5),
        (7, 5, 7),  # nothing is cut
    ],
)
def test_lengths_by_hand(longest, most, length):
    assert padded_length(longest, most) == length


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_length_holds_the_longest_row_with_little_padding(longest, most):
    length = padded_length(longest, most)
    assert longest <= length <= max(longest, most)
    assert length - longest < max(8, longest / 4)
    assert padded_length(length, most) == length


def test_there_are_few_lengths():
    assert len({padded_length(longest, 512) for longest in range(1, 513)}) == 20


def test_batches_of_fine_tuning_have_few_lengths_and_what_no_token_has_stays():
    padding = {"input_ids": 1, "attention_mask": 0}
    shapes = set()
    for longest in range(2, 129):
        rows = [
            {"input_ids": [5] * size, "attention_mask": [1] * size, "slots": [1, 2, 3], "label": 0}
            for size in (1, longest)
        ]
        batch = pad_batch(rows, padding, 128)
        shapes.add(tuple(batch["input_ids"].shape))
        assert batch["attention_mask"].shape == batch["input_ids"].shape
        assert batch["attention_mask"].sum() == 1 + longest
        assert (batch["input_ids"][0, 1:] == 1).all()
        assert batch["slots"].shape == (2, 3) and batch["label"].shape == (2,)
    assert len(shapes) == 12


def test_batches_that_are_scored_have_few_shapes():
    lengths = sorted((padded_length(size, 128) for size in range(2, 129) for _ in range(37)), reverse=True)
    shapes = {(len(batch), lengths[batch[0]]) for batch in length_batches(lengths, 32)}
    assert len(shapes) <= 2 * 12  # of each length a full batch, and one that shares two lengths
    examples = make_examples(400)
    batches = _batches(examples)
    assert sorted(index for batch in batches for index in batch) == list(range(400))
    for batch in batches:
        longest = max(int(examples.lengths[index]) for index in batch)
        assert len(batch) * padded_length(longest, examples.max_seq_length) <= TOKENS_PER_BATCH


def test_rows_that_are_not_packed_have_few_lengths():
    examples = make_examples(300)
    collator = MLMCollator(examples, 0.3, 1, packing=False)
    stream = RowStream(examples.lengths, examples.max_seq_length, False, seed=1)
    seen = {tuple(collator([stream[3 * k], stream[3 * k + 1]])["input_ids"].shape) for k in range(90)}
    assert seen <= {(2, size) for size in (8, 16, 24, 32, 40, 48, 56, 64)}
    one = collator([Row(0, stream[0].examples)])
    both = collator([Row(0, stream[0].examples), Row(0, stream[1].examples)])
    length = one["labels"].shape[1]
    assert torch.equal(both["labels"][0, :length], one["labels"][0, : both["labels"].shape[1]])


# ---- the heap --------------------------------------------------------------------------------------------

LOOP = """
import sys, torch
from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.program.environment import resident_memory_mib
from xpt.training.fast.path import fast_path

torch.set_num_threads(1)
torch.manual_seed(0)
config = XPTRobertaConfig(
    vocab_size=8000, hidden_size=16, num_hidden_layers=1, num_itl_in=0, num_itl_out=0,
    num_attention_heads=1, intermediate_size=16, max_position_embeddings=66, sparse_prediction=True,
)
model = XPTRobertaForMaskedLM(config).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
with fast_path(model, torch.device("cpu")):
    for step in range(1, 221):
        ids = torch.randint(5, 8000, (16, 64))
        labels = torch.where(torch.rand(16, 64) < 0.3, ids, -100)
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (20, 220):
            print(resident_memory_mib(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap is glibc's")
def test_memory_does_not_grow_over_200_steps():
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", LOOP], env=environment, capture_output=True, text=True, check=True
    )
    before, after = map(int, told.stdout.split())
    assert after < 1.05 * before, f"{before} MiB after 20 steps, {after} MiB after 220"


# ---- what is told of it ----------------------------------------------------------------------------------


def test_resident_memory_is_what_the_process_holds():
    size, before = 64 * 2**20, resident_memory_mib()
    with mmap.mmap(-1, size) as held:  # pages of its own, whatever lies free in the heap
        for page in range(0, size, mmap.PAGESIZE):
            held[page] = 1
        assert 60 <= resident_memory_mib() - before <= 80


def test_the_log_and_the_line_say_how_much_memory_there_is(tmp_path, capsys):
    run = Run(tmp_path)
    progress = PhaseProgress(run, "a", 10, lambda step: 5)
    state = SimpleNamespace(is_world_process_zero=True, max_steps=10, global_step=0, log_history=[])
    progress.on_train_begin(SimpleNamespace(disable_tqdm=True), state, None)
    progress.on_log(None, state, None, {"loss": 2.0})
    progress.close()
    (entry,) = run.read_log()
    now = resident_memory_mib()
    assert abs(entry["resident_mib"] - now) < 0.2 * now
    assert f"tokens/s  {short_size(entry['resident_mib'] * 2**20)}  ? left" in capsys.readouterr().out


def test_the_peak_of_a_run_is_that_of_all_its_starts(tmp_path):
    run = Run(tmp_path)
    own = run.peak_memory_mib()["cpu"]
    assert own > 50
    lines = [{"phase": "a", "step": 1}, {"phase": "a", "step": 2, "resident_mib": own + 7777}]
    run.log_file.write_text("\n".join(map(json.dumps, [*lines, {**lines[0], "resident_mib": 3}])))
    assert run.peak_memory_mib()["cpu"] == own + 7777
