"""Valid bytes, JSON and safetensors become damaged ones; all is drawn from the generator that is given."""

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

# What a field may hold instead: wrong types, extremes, and text that some part of a program trips over.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, -(2**63), 10**30, 0.0, -0.0, 0.5, 1e-300, 1e308),
    *("", " ", "0", "-1", "1e3", "nan", "true", "null", "가나다", "\ud83d\ude00", "a/b", "../x", "/", "~"),
    *("<s>", "<mask>", "[MASK]", "\u0000", "\u202e", "x" * 5000, "{}", "bert", "roberta", "float16"),
    *([], {}, [0], [None], [[]], {"a": 1}, {"": {}}, [1, "a", None], float("nan"), float("inf")),
)
_INTERESTING = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b'"',
    b"{",
    b"]",
    b"<doc ",
    b"</doc>",
    b"\xed\xa0\x80",
)


def odd_value(chooser: random.Random) -> Any:
    """Something that a field of a JSON or YAML file does not expect."""
    return copy.deepcopy(chooser.choice(ODD_VALUES))


def mutate_bytes(data: bytes, chooser: random.Random) -> bytes:
    """One to four edits: bits, blocks and ends; now and then nothing or noise is left."""
    if chooser.random() < 0.08:
        return chooser.choice((b"", chooser.randbytes(chooser.choice((1, 8, 300))), b"\x00" * len(data)))
    mutated = bytearray(data)
    for _ in range(chooser.randint(1, 4)):
        chooser.choice(_EDITS)(mutated, chooser)
    return bytes(mutated)


def _flip_a_bit(data: bytearray, chooser: random.Random) -> None:
    if data:
        data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)


def _insert(data: bytearray, chooser: random.Random) -> None:
    at = chooser.randint(0, len(data))
    data[at:at] = chooser.choice((*_INTERESTING, chooser.randbytes(chooser.randint(1, 20))))


def _delete(data: bytearray, chooser: random.Random) -> None:
    start = chooser.randint(0, len(data))
    del data[start : start + chooser.choice((1, 2, 16, 1000))]


def _repeat(data: bytearray, chooser: random.Random) -> None:
    start = chooser.randint(0, len(data))
    data[start:start] = data[start : start + chooser.choice((1, 30, 1000))] * chooser.choice((1, 3))


def _cut(data: bytearray, chooser: random.Random) -> None:
    del data[chooser.randint(0, len(data)) :]


_EDITS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_a_bit,
    _insert,
    _delete,
    _repeat,
    _cut,
)


def mutate_json(text: str, chooser: random.Random) -> str:
    """Change one to three entries of a JSON document: gone, renamed, of another type, or with company."""
    root = {"root": json.loads(text)}
    for _ in range(chooser.randint(1, 3)):
        _change_entry(*chooser.choice(_short_lists(root, chooser)), chooser)
        root.setdefault("root", None)
    return json.dumps(root["root"], ensure_ascii=chooser.random() < 0.5)


def _short_lists(node: Any, chooser: random.Random) -> list[tuple[Any, Any]]:
    """Every place in the document, as its holder and key; of long lists (a vocabulary) a few."""
    found: list[tuple[Any, Any]] = []
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if len(keys) > 40:
        keys = chooser.sample(keys, 4)
    for key in keys:
        found.append((node, key))
        if isinstance(node[key], dict | list):
            found += _short_lists(node[key], chooser)
    return found


def _change_entry(holder: Any, key: Any, chooser: random.Random) -> None:
    try:
        value = holder[key]
    except (KeyError, IndexError, TypeError):  # an earlier change took it away
        return
    match chooser.randrange(6):
        case 0:
            del holder[key]
        case 1 | 2:
            holder[key] = odd_value(chooser)
        case 3:
            holder[key] = [value] if chooser.random() < 0.5 else str(value)
        case 4 if isinstance(value, int | float):
            holder[key] = chooser.choice((-value, value + 1, value * 1000, float(value), 0))
        case 4:
            holder[key] = copy.deepcopy(chooser.choice(list(_values(holder))))
        case 5 if isinstance(holder, dict) and key != "root":
            holder[f"{key}x"] = holder.pop(key)
        case _:
            holder[key] = None


def _values(holder: Any) -> Any:
    return holder.values() if isinstance(holder, dict) else holder


def mutate_safetensors(data: bytes, chooser: random.Random) -> bytes:
    """Change names, shapes, types or places in the header, or numbers behind it."""
    if chooser.random() < 0.4:
        return mutate_bytes(data, chooser)
    (size,) = struct.unpack("<Q", data[:8])
    header, tensors = data[8 : 8 + size].decode("utf-8"), data[8 + size :]
    if chooser.random() < 0.3:  # not a number, in the place of some
        start = 4 * chooser.randrange(max(1, len(tensors) // 4))
        tensors = tensors[:start] + b"\x00\x00\xc0\x7f" * 8 + tensors[start + 32 :]
    else:
        header = mutate_json(header, chooser)
    encoded = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(encoded)) + encoded + tensors


def mutate_file(name: str, data: bytes, chooser: random.Random) -> bytes:
    """Change the content of a file by what its name says it is."""
    structured = chooser.random() < 0.65
    if structured and name.endswith(".safetensors"):
        return mutate_safetensors(data, chooser)
    if structured and name.endswith(".json"):
        return mutate_json(data.decode("utf-8"), chooser).encode("utf-8", "surrogatepass")
    if structured and name.endswith(".jsonl"):
        lines = data.decode("utf-8").splitlines()
        at = chooser.randrange(len(lines))
        lines[at] = mutate_json(lines[at], chooser)
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    return mutate_bytes(data, chooser)
