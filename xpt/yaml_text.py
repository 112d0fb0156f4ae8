"""YAML as people mean it: read by version 1.2's core schema, written so that any reader gets the same.

PyYAML reads version 1.1: there `no`, `on` and `off` are truth values (Norwegian is no language), 12:30 is a
number, and 1e-4 is text. What a value is for is known to the option alone, so that a scalar stays as written.
"""

import re
from collections.abc import Collection
from typing import Any

import yaml

_BREAKS = re.compile("[\x85\u2028\u2029]")  # of lines, in 1.1: only escaped do they stay what they are
NULL = "tag:yaml.org,2002:null"
# https://yaml.org/spec/1.2.2/#1032-tag-resolution
CORE_SCHEMA = (
    (NULL, r"null|Null|NULL|~|", "nN~"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", r"<<", "<"),  # of 1.1; no option has this name, and phases may share entries
)


class _CoreLoader(yaml.SafeLoader):
    """Numbers, truth and nothing by the core schema."""

    def number(self, node: yaml.ScalarNode) -> Any:
        text = self.construct_scalar(node)
        if node.tag.endswith(":float"):
            return self.construct_yaml_float(node)
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)


class _WrittenLoader(_CoreLoader):
    """The same, but a number that is written in another way than Python's stays text: 1.10, 0123, 1e-4."""

    def number(self, node: yaml.ScalarNode) -> Any:
        value = super().number(node)
        return value if str(value) == node.value else node.value


class _Dumper(yaml.SafeDumper):
    """Quotes what readers of 1.1 or of 1.2 would take for something else than text."""

    def text(self, value: str) -> yaml.ScalarNode:
        style = '"' if _BREAKS.search(value) else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style)


_Dumper.add_representer(str, _Dumper.text)
_CoreLoader.yaml_implicit_resolvers = {}  # those of 1.1
for _tag, _pattern, _first in CORE_SCHEMA:
    for _class in (_CoreLoader, _WrittenLoader, _Dumper):
        letters = [*_first, ""] if _tag == NULL else list(_first)
        _class.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), letters)
for _kind in ("int", "float"):
    _CoreLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _CoreLoader.number)
    _WrittenLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _WrittenLoader.number)


def read_entries(text: str, as_written: Collection[str] = ()) -> dict[str, Any] | None:
    """The entries of a recipe: None for nothing, other scalars, alone or in a list, as the text they are.

    Mappings hold numbers and truth values; in entries among `as_written`, which may be nested in any way,
    numbers as `_WrittenLoader` has them.

    Returns:
        None where the text is no mapping.

    Raises:
        yaml.YAMLError: it is no YAML, or names an entry twice.
    """
    loader = _CoreLoader(text)
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    if not isinstance(node, yaml.MappingNode):
        return None
    entries: dict[str, Any] = {}
    for key, value in node.value:
        name = _text(key)
        if name is None or name in entries:
            problem = "a name is no text" if name is None else f"{name} stands there twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        entries[name] = _built(value, _WrittenLoader) if name in as_written else _option(value)
    return entries


def dump(content: Any) -> str:
    """YAML that readers of 1.1 and of 1.2 take for the same; entries keep their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _option(node: yaml.Node) -> Any:
    built = _built(node, _CoreLoader)
    if isinstance(node, yaml.SequenceNode):
        texts = map(_text, node.value)
        return [whole if text is None else text for text, whole in zip(texts, built, strict=True)]
    return built if built is None or isinstance(node, yaml.MappingNode) else _text(node)


def _built(node: yaml.Node, loader: type[_CoreLoader]) -> Any:
    try:
        return loader("").construct_document(node)
    except ValueError as error:  # a tag that does not fit: !!int ten
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error


def _text(node: yaml.Node) -> str | None:
    return node.value if isinstance(node, yaml.ScalarNode) else None
