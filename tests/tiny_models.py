"""Tiny models of both architectures and batches, for the tests of the model."""

import torch

import modeling_trelm
import modeling_xpt
from configuration_xpt import AUTO_MAP, XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM

PAD, VOCAB, LENGTH = 1, 60, 12
HEADS = sorted(path.split(".")[1] for name, path in AUTO_MAP.items() if name != "AutoConfig")
# Heads of both, by the names of XPT's, for the tests that hold of one as of the other.
KINDS = {
    "xpt": {name: getattr(modeling_xpt, name) for name in HEADS},
    "trelm": {name: getattr(modeling_trelm, name.replace("XPT", "TreLM")) for name in HEADS},
}
BACKBONE, MASKED, CLASSIFIER = (
    f"XPTRoberta{head}" for head in ("Model", "ForMaskedLM", "ForSequenceClassification")
)
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,  # 38 positions to use
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "initializer_range": 0.2,  # far from uniform attention, so that a wrong mask shows
}


def make(cls=XPTRobertaForMaskedLM, implementation="eager", dropout=0.0, **fields):
    torch.manual_seed(0)
    probabilities = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = cls.config_class(**{**SHAPE, **probabilities, **fields})
    config._attn_implementation = implementation
    model = cls(config).eval()
    if hasattr(model, "lm_head"):
        torch.nn.init.normal_(model.lm_head.bias)
    return model


def layers_of(backbone):
    """In the order in which tokens pass them."""
    layers, half = list(backbone.encoder.layer), len(backbone.encoder.layer) // 2
    middle = [backbone.tri] if hasattr(backbone, "tri") else []
    return [*backbone.itl_in, *layers[:half], *middle, *layers[half:], *backbone.itl_out]


def ids(*shape, seed=0):
    return torch.randint(4, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def some_labels(input_ids, rate=0.3, seed=1):
    chosen = torch.rand(input_ids.shape, generator=torch.Generator().manual_seed(seed)) < rate
    return torch.where(chosen, input_ids, -100)


def gradients(model, **batch):
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


def assert_close(got, expected, relative=1e-6):
    assert torch.linalg.vector_norm(got - expected) <= relative * torch.linalg.vector_norm(expected)


def batch_for(name):
    """Padded input and labels of the kind that the head reads."""
    shape = (3, 2, LENGTH) if name.endswith("MultipleChoice") else (3, LENGTH)
    input_ids = ids(*shape)
    input_ids[1, ..., -4:] = PAD
    batch = {"input_ids": input_ids, "attention_mask": input_ids.ne(PAD).long()}
    if name.endswith("QuestionAnswering"):
        return {**batch, "start_positions": torch.tensor([1, 2, 3]), "end_positions": torch.tensor([2, 4, 3])}
    labels = {"MaskedLM": some_labels(input_ids), "SequenceClassification": torch.tensor([0, 1, 6])}
    labels |= {"TokenClassification": input_ids % 7, "MultipleChoice": torch.tensor([0, 1, 0])}
    kind = name.partition("For")[2]
    return {**batch, "labels": labels[kind]} if kind else batch


def packed(sentences, length):
    """One row for each list of sentences: ids, restarting positions, a mask by which they do not meet."""
    rows = len(sentences)
    input_ids = torch.full((rows, length), PAD)
    position_ids = torch.full((rows, length), PAD)
    owner = torch.full((rows, length), -1)
    for row, members in enumerate(sentences):
        start = 0
        for number, sentence in enumerate(members):
            span = slice(start, start + len(sentence))
            input_ids[row, span], owner[row, span] = sentence, number
            position_ids[row, span] = torch.arange(len(sentence)) + PAD + 1
            start += len(sentence)
    mask = (owner[:, None, :, None] == owner[:, None, None, :]) & (owner >= 0)[:, None, None, :]
    return {"input_ids": input_ids, "position_ids": position_ids, "attention_mask": mask}


SENTENCES = [ids(size, seed=size) for size in (5, 9, 3, 7)]
PACKED = packed(
    [SENTENCES[:2], SENTENCES[2:]], length=16
)  # the second row ends in padding, which sees nothing


def in_packed_order(logits):
    return [logits[0, :5], logits[0, 5:14], logits[1, :3], logits[1, 3:10]]


def make_model(**changes) -> XPTRobertaForMaskedLM:
    small = {"vocab_size": 50, "max_position_embeddings": 20, "type_vocab_size": 1, "pad_token_id": 1}
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = XPTRobertaConfig(**{**small, **shape, **changes})
    return XPTRobertaForMaskedLM(config)


SIZES = {"id2label": {number: f"label {number}" for number in range(7)}}


def random_model(name="XPTRobertaForMaskedLM", kind="xpt", **fields):
    """Every tensor away from its start, so that one that is lost or swapped shows."""
    model = make(KINDS[kind][name], **{**SIZES, **fields})
    torch.manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def outputs(model, batch):
    """All tensors that a model gives for a batch, the loss among them."""
    with torch.no_grad():
        given = model.eval()(**batch, output_hidden_states=True, return_dict=True)
    flat = []
    for value in given.values():
        flat += list(value) if isinstance(value, tuple) else [value]
    return flat
