"""WoS: what the user of a dialogue wants so far, slot by slot (KLUE paper 3.8)."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from xpt.finetune.backbone import Backbone
from xpt.finetune.batches import IGNORED_LABEL
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.heads.state_generator import GATES, POINTER, DialogueStateConfig, DialogueStateGenerator
from xpt.finetune.judgment import Judgment, Passage, differing
from xpt.finetune.klue.dialogue import NO_VALUE, SLOTS, DialogueText, DialogueTurn, turns
from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import json_records
from xpt.finetune.task import Feature, Hyperparameters, Record


class WoS(KlueTask):
    """A dialogue up to a user's turn -> the values of 45 slots, copied or written by a generator."""

    name = "wos"
    title = "dialogue state tracking"
    folder = "wos-v1.1"
    suffix = ".json"
    sizes = {"train": 8_000, "validation": 1_000}  # noqa: RUF012
    settings = Hyperparameters(510, 3e-5, 16, 5, warmup_ratio=0.1, weight_decay=0.01)
    large_settings = Hyperparameters(510, 2e-5, 16, 5, warmup_ratio=0.1, weight_decay=0.01)
    selected_on = "wos/slot_f1"
    prediction_fields = ("state",)
    key_fields = ("guid", "turn")
    left_to_right = False

    def records(self, text: str, file: str) -> Iterator[Record]:
        """A JSON list of dialogues."""
        return json_records(text, file)

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub has the same fields; the empty states that it gives the system are no turns."""
        return row

    def examples(self, record: Record) -> list[DialogueTurn]:
        """One for each of the user's turns."""
        return turns(record)

    def features(self, examples: Sequence[Any], encoder: TextEncoder, training: bool) -> list[Feature]:
        """The dialogue up to the turn, its oldest tokens left out where it is too long; gates and targets.

        `target_ids` (45, longest value + 1) are the tokens of the values and the separator, of "none" where
        a slot has no value, filled up with `IGNORED_LABEL`; `gate_ids` (45).
        """
        text = DialogueText(encoder)
        spoken = chain.from_iterable((*e.history, e.system, e.user) for e in examples)
        wanted = chain.from_iterable(e.values.values() for e in examples)
        known = list(dict.fromkeys(["", NO_VALUE, *spoken, *wanted]))
        tokens = dict(zip(known, text.tokens(known), strict=True))
        features = []
        for index, example in enumerate(examples):
            ids = _dialogue(example, tokens, encoder.separator)
            inputs: dict[str, Any] = encoder.sequence(ids[max(0, len(ids) - encoder.capacity) :])
            values = [example.values.get(slot, NO_VALUE) for slot in SLOTS]
            inputs["target_ids"] = _targets([tokens[value] for value in values], encoder.separator)
            inputs["gate_ids"] = [_gate(value) for value in values]
            features.append(Feature(inputs, index, text))
        return features

    def outputs(self, output: Any, batch: dict[str, Tensor]) -> list[Any]:
        """For each example its gates (45,) and the tokens of its values (45, steps)."""
        gates = output.gate_logits.argmax(dim=-1).cpu().numpy()
        return list(zip(gates, output.generated.cpu().numpy(), strict=True))

    def predictions(
        self, examples: Sequence[Any], features: Sequence[Feature], outputs: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """The state of each turn, in the order of the slots."""
        lines = []
        for feature, (gates, ids) in zip(features, outputs, strict=True):
            example = examples[feature.example]
            state = []
            for slot, gate, tokens in zip(SLOTS, gates.tolist(), ids.tolist(), strict=True):
                value = feature.memory.value(tokens) if gate == POINTER else GATES[gate]
                if value != NO_VALUE:
                    state.append(f"{slot}-{value}")
            lines.append({"guid": example.guid, "turn": example.turn, "state": state})
        return lines

    def confidences(self, output: Any, batch: dict[str, Tensor]) -> list[float]:
        """The mean over slots of the chosen gate's probability."""
        return output.gate_logits.float().softmax(dim=-1).amax(dim=-1).mean(dim=-1).tolist()

    def judge(self, example: DialogueTurn, line: dict[str, Any]) -> Judgment:
        """What was said, and what only one of the two states holds; right where they are the same."""
        said = [*example.history, example.system, example.user]
        passages = tuple(Passage("", utterance) for utterance in said if utterance)
        missing, extra = differing(example.state, line["state"])
        right = float(set(example.state) == set(line["state"]))
        return Judgment(passages, missing and f"lacks {missing}", extra and f"has {extra}", right)

    def reference(self, example: DialogueTurn) -> dict[str, Any]:
        """The gold state."""
        return {"state": list(example.state)}

    def check_prediction(self, example: Any, line: dict[str, Any]) -> None:
        """Raise `ValueError` where the state is no list of texts; any text may be predicted."""
        state = line["state"]
        if not isinstance(state, list) or not all(isinstance(entry, str) for entry in state):
            raise ValueError(f'the state is {state!r:.60}, no list of "domain-slot-value"')

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """A generator of values around the encoder."""
        encoder = backbone.encoder_for(self.settings.max_seq_length)
        slots = DialogueText(encoder).tokens([slot.replace("-", " ") for slot in SLOTS])
        longest = max(map(len, slots))
        padding = backbone.tokenizer.pad_token_id
        model = backbone.load_encoder()
        config = DialogueStateConfig(
            encoder=backbone.config,
            slot_ids=[[*ids, *[padding] * (longest - len(ids))] for ids in slots],
            separator_id=encoder.separator,
            dropout=_dropout(backbone.config),
        )
        return DialogueStateGenerator(config, model)


def _dropout(config: PretrainedConfig) -> float:
    """The encoder's own dropout of hidden states, as families name it."""
    names = ("hidden_dropout_prob", "dropout_rate", "dropout")
    return float(next((getattr(config, name) for name in names if hasattr(config, name)), 0.1))


def _dialogue(example: DialogueTurn, tokens: dict[str, list[int]], separator: int) -> list[int]:
    """History, the system's words, the user's, a separator between any two.

    As by the benchmark, an empty utterance of the system stands before the first of the user's.
    """
    history = ["", *example.history] if example.history else []
    ids: list[int] = []
    for place, utterance in enumerate(history):
        ids += [separator, *tokens[utterance]] if place else tokens[utterance]
    return [*ids, separator, *tokens[example.system], separator, *tokens[example.user]]


def _gate(value: str) -> int:
    return GATES.index(value) if value in GATES else POINTER


def _targets(values: Sequence[list[int]], separator: int) -> np.ndarray:
    """(slots, longest + 1), of 32 bits: a training set has tens of thousands of them."""
    targets = np.full((len(values), max(map(len, values)) + 1), IGNORED_LABEL, dtype=np.int32)
    for row, ids in zip(targets, values, strict=True):
        row[: len(ids) + 1] = [*ids, separator]
    return targets
