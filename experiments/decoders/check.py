"""A decoder's real weights through the transplant: hidden states without ITLs, logits with identities.

python experiments/decoders/check.py SOURCE_FOLDER
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from xpt.program.environment import describe_hardware, describe_versions
from xpt.transplant.source import TransplantSettings, open_source, transplant

TEXT = (
    "The capital of France is Paris, and the capital of Germany is Berlin. "
    "Both cities are visited by many every year."
)


def check(folder: str) -> dict[str, Any]:
    """Differences to the source, and the loss on `TEXT` in nats per token, random ITLs beside."""
    source, tokenizer = open_source(folder), AutoTokenizer.from_pretrained(folder)
    special: Any = SimpleNamespace(bos=1, pad=2, eos=2, vocab_size=len(source.word_embeddings))
    ids = tokenizer(TEXT, return_tensors="pt").input_ids

    def run(model: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        with torch.no_grad():
            given = model.eval()(ids, output_hidden_states=True)
        return given.hidden_states, given.logits

    def moved(**settings: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        own = (source.word_embeddings, None, source.output_embeddings)
        return run(transplant(source, TransplantSettings(**settings), special, *own)[0])

    def loss(logits: Tensor) -> float:
        return round(float(torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])), 4)

    hidden, logits = run(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    plain, _ = moved(num_itl_in=0, num_itl_out=0)
    return {
        "source": {**source.describe(), "name": Path(folder).name},
        "largest_difference_of_hidden_states": max(
            float((one - other).abs().max()) for one, other in zip(hidden, plain, strict=True)
        ),
        "identity_logits_equal_to_the_bit": torch.equal(moved(itl_init="identity")[1], logits),
        "loss": loss(logits),
        "loss_with_random_itls": loss(moved(itl_init="random")[1]),
    }


if __name__ == "__main__":
    found = check(sys.argv[1])
    found |= {"command": "python experiments/decoders/check.py smollm2", "seed": TransplantSettings.seed}
    found |= {"versions": describe_versions(), "hardware": describe_hardware()}
    Path(__file__).with_name("result.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
