"""Dialogues of WoS: the turns of a record, and values that become tokens and values again.

record -> turns, each with what was said before and the state after it
value -> the tokens that it has inside an utterance, so that they can be copied -> value
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xpt.finetune.encoding import TextEncoder
from xpt.finetune.records import take
from xpt.finetune.task import Example, Record

_NAMES = {
    "관광": "경치 좋은, 교육적, 도보 가능, 문화 예술, 역사적, 이름, 종류, 주차 가능, 지역",
    "숙소": "가격대, 도보 가능, 수영장 유무, 스파 유무, 예약 기간, 예약 명수, "
    "예약 요일, 이름, 인터넷 가능, 조식 가능, 종류, 주차 가능, "
    "지역, 헬스장 유무, 흡연 가능",
    "식당": "가격대, 도보 가능, 야외석 유무, 예약 명수, 예약 시간, 예약 요일, "
    "이름, 인터넷 가능, 종류, 주류 판매, 주차 가능, 지역, 흡연 가능",
    "지하철": "도착지, 출발 시간, 출발지",
    "택시": "도착 시간, 도착지, 종류, 출발 시간, 출발지",
}
SLOTS = tuple(f"{domain}-{name}" for domain, names in _NAMES.items() for name in names.split(", "))  # sorted
NO_VALUE = "none"
# Words of Hangul, digits and Latin letters: a tokenizer that joins blanks to words does so with one of them.
_PROBES = ("식당", "서울", "2", "a")


@dataclass(frozen=True)
class DialogueTurn(Example):
    """What a user says, after what was said, and what is wanted by then.

    Args:
        turn: number of the user's turn in its dialogue, from 0.
        history: utterances before `system`, the user's and the system's in turn.
        system: what the system said last; "" before the first turn.
        user: what the user says.
        state: all that is wanted so far, as "domain-slot-value".
    """

    turn: int
    history: tuple[str, ...]
    system: str
    user: str
    state: tuple[str, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """Dialogue and turn."""
        return (self.guid, self.turn)

    @property
    def values(self) -> dict[str, str]:
        """The value of each slot that has one."""
        return dict(split_slot(entry) for entry in self.state)


def split_slot(entry: str) -> tuple[str, str]:
    """ "domain-slot-value" as ("domain-slot", value), cut at the second hyphen; a value may have more.

    Raises `ValueError` where there is no second hyphen.
    """
    domain, slot, value = entry.split("-", 2)
    return f"{domain}-{slot}", value


def turns(record: Record) -> list[DialogueTurn]:
    """The user's turns of a dialogue.

    Raises `XPTError` with the guid and the turn: roles that do not alternate from the user on, a state that
    is the system's (an empty one is what the Hub adds), an unknown slot, one twice, one without value. Values
    need not be in the ontology.
    """
    guid = take(record, "guid")
    said: list[str] = []
    found = []
    for position, utterance in enumerate(take(record, "dialogue", list)):
        turn = position // 2
        role, text = _field(record, utterance, turn, "role"), _field(record, utterance, turn, "text")
        expected = ("user", "sys")[position % 2]
        if role != expected:
            raise record.wrong(f"turn {turn}: the role is {role!r:.60} where {expected!r} follows")
        if role == "user":
            state = _state(record, turn, _field(record, utterance, turn, "state", list))
            found.append(DialogueTurn(guid, turn, tuple(said[:-1]), said[-1] if said else "", text, state))
        elif utterance.get("state"):
            raise record.wrong(f"turn {turn}: the system's utterance has a state")
        said.append(text)
    if not found:
        raise record.wrong("the dialogue is empty")
    return found


def _field(record: Record, utterance: Any, turn: int, field: str, kind: type = str) -> Any:
    return take(Record(record.value, f"{record.place}: turn {turn}"), field, kind, within=utterance)


def _state(record: Record, turn: int, entries: list[Any]) -> tuple[str, ...]:
    seen: set[str] = set()
    for entry in entries:
        parts = entry.split("-", 2) if isinstance(entry, str) else []
        slot = "-".join(parts[:2])
        if len(parts) < 3 or slot not in SLOTS or not parts[2].strip():
            raise record.wrong(f"turn {turn}: {entry!r:.60} is no domain-slot-value with one of the 45 slots")
        if slot in seen:
            raise record.wrong(f"turn {turn}: the state has {slot!r} twice")
        seen.add(slot)
    return tuple(entries)


class DialogueText:
    """Utterances and values as tokens, and tokens as values.

    A tokenizer that tells a word after a blank from one at a text's beginning (byte-level BPE) is given a
    blank before each text: else no value would have the tokens that it has inside an utterance. One that
    forgets blanks around punctuation (WordPiece after BERT's splitting) has them repaired as by the
    benchmark; nobody else needs that.

    Args:
        encoder: the tokenizer.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder, self.tokenizer = encoder, encoder.tokenizer
        self.specials = frozenset(self.tokenizer.all_special_ids)
        self.lead = " " if self._joins_blanks() else ""
        tight, loose = encoder.pieces(["2:3", "2 : 3"])
        self.forgets_blanks = tight.ids == loose.ids

    def _joins_blanks(self) -> bool:
        def ids(before: str) -> list[list[int]]:
            return [piece.ids for piece in self.encoder.pieces([before + word for word in _PROBES])]

        [first] = self.encoder.pieces(["나"])
        for alone, after, within in zip(ids(""), ids(" "), ids("나 "), strict=True):
            if within == first.ids + after and after[-len(alone) :] != alone:
                return True
        return False

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, blanks at its ends left out."""
        stripped = [text.strip() for text in texts]
        pieces = self.encoder.pieces([self.lead + text if text else "" for text in stripped])
        return [piece.ids for piece in pieces]

    def value(self, ids: Sequence[int]) -> str:
        """The text of the tokens before the first special one, an unknown one included."""
        end = next((place for place, id in enumerate(ids) if id in self.specials), len(ids))
        text = self.tokenizer.decode(list(ids[:end]), clean_up_tokenization_spaces=False)
        if self.forgets_blanks:
            text = text.replace(" : ", ":").replace(" , ", ", ").replace("##", "")
        return text.strip()
