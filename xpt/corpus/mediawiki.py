"""A MediaWiki XML dump becomes articles in plain text.

The dump is parsed by expat as a stream of events, so memory holds one revision, never the tree (mwxml keeps
80 bytes of every page it has passed). Wiki text is parsed by mwparserfromhell; what is kept of it is the
running text that WikiExtractor keeps, and it is cleaned the same way.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.parsers import expat

import mwparserfromhell
from mwparserfromhell.nodes import Argument, ExternalLink, HTMLEntity, Tag, Template, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

from xpt.corpus.html_tags import FORMULA, FORMULA_ELEMENTS, SILENT_ELEMENTS, drop_open_readings
from xpt.corpus.sources import FileSource
from xpt.corpus.templates import MARK, settle_marks, template_text
from xpt.errors import XPTError

_READ_AT_ONCE = 1 << 18  # bytes
_LONGEST_TOKEN = 1 << 24  # bytes; a tag or comment of a real dump has some hundred
_LONGEST_TEXT = 1 << 26  # characters; MediaWiki itself allows 2 MiB a page
# Namespaces whose links are pictures and categories, no words: Media, File, Category. A dump names them in
# its own language; older names of File live on in the text.
_SILENT_NAMESPACES = ("-2", "6", "14")
_SILENT_PREFIXES = frozenset(
    "media file image category 그림 画像 图像 bild imagen изображение зображення".split()
)
_SILENT_TAGS = SILENT_ELEMENTS | {"table", "source", "pre", "section"}
# The parser knows a table only at the head of its line.
_TABLE_INDENT = re.compile(r"^[ \t]*[:*#;][:*#; \t]*(?=\{\|)", re.MULTILINE)


def read_articles(source: FileSource, stream: BinaryIO) -> Iterator[str]:
    """Stream the plain text of each article: namespace 0, no redirect, its last revision in the dump.

    Raises XPTError for XML that is damaged, cut off or no MediaWiki dump, and for a document type (dumps
    have none; entities declared there can grow without bound or reach for other files).
    """
    dump = _Dump(source.name)
    while chunk := stream.read(_READ_AT_ONCE):
        dump.feed(chunk)
        yield from dump.take_articles()
    dump.feed(b"")
    yield from dump.take_articles()


class _Dump:
    """Handlers for expat's events, and the articles that are whole."""

    def __init__(self, name: str):
        self._name = name
        self._fed = 0
        self._path: list[str] = []
        self._page: dict[str, str] = {}
        self._collected: list[str] | None = None
        self._size = 0
        self._namespace = ""
        self._silent = set(_SILENT_PREFIXES)
        self._articles: list[str] = []
        parser = expat.ParserCreate()
        parser.buffer_text, parser.buffer_size = True, 1 << 16
        parser.StartDoctypeDeclHandler = self._refuse_document_type
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        self._parser = parser

    def feed(self, chunk: bytes) -> None:
        """Parse more bytes; b"" ends the file."""
        self._fed += len(chunk)
        try:
            self._parser.Parse(chunk, not chunk)
        except expat.ExpatError as error:
            raise XPTError(
                f"{self._name} line {error.lineno} is not XML ({expat.ErrorString(error.code)}): it may be "
                "damaged or cut off"
            ) from error
        if self._fed - self._parser.CurrentByteIndex > _LONGEST_TOKEN:
            raise self._no_dump(f"its line {self._parser.CurrentLineNumber} holds an endless tag")

    def take_articles(self) -> Iterator[str]:
        """Plain texts of the articles parsed since the last call."""
        articles, self._articles = self._articles, []
        for wikitext in articles:
            yield plain_text(wikitext, self._silent)

    def _no_dump(self, reason: str) -> XPTError:
        return XPTError(
            f"{self._name} is no MediaWiki dump ({reason}): give one, or text as .txt, .jsonl, .csv, .tsv or "
            ".parquet"
        )

    def _refuse_document_type(self, *_arguments: object) -> None:
        raise self._no_dump("it declares a document type")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "mediawiki":
            raise self._no_dump(f"its root is <{tag[:40]}>")
        self._path.append(tag)
        match self._path[1:]:
            case ["page"]:
                self._page = {}
            case ["page", "redirect"]:
                self._page["redirect"] = ""
            case ["page", "ns"] | ["page", "revision", "model" | "text"]:
                self._collected, self._size = [], 0
            case ["siteinfo", "namespaces", "namespace"]:
                self._collected, self._size = [], 0
                self._namespace = attributes.get("key", "")

    def _characters(self, text: str) -> None:
        if self._collected is not None:
            self._collected.append(text)
            self._size += len(text)
            if self._size > _LONGEST_TEXT:
                raise self._no_dump(f"its line {self._parser.CurrentLineNumber} is in a page without end")

    def _end(self, tag: str) -> None:
        if self._collected is not None:
            text, self._collected = "".join(self._collected), None
            if tag != "namespace":
                self._page[tag] = text
            elif self._namespace in _SILENT_NAMESPACES:
                self._silent.add(_prefix(text))
        if self._path == ["mediawiki", "page"] and self._is_article():
            self._articles.append(self._page["text"])
        self._path.pop()

    def _is_article(self) -> bool:
        page = self._page
        return (
            page.get("ns", "").strip() == "0"
            and "redirect" not in page
            and page.get("model", "wikitext").strip() == "wikitext"
            and bool(page.get("text"))
        )


def plain_text(wikitext: str, silent_prefixes: set[str] | frozenset[str] = _SILENT_PREFIXES) -> str:
    """The running text of a page, a paragraph a line.

    Gone are templates, tables, references, headings, comments, list marks and links of `silent_prefixes`
    (lower case); of other links their words stay, and of some templates an argument. Where a template or
    a formula leaves a hole in a sentence stands its mark.
    """
    # Bold and italic marks are left to the cleaner: unbalanced ones make the parser try every pairing.
    known = drop_open_readings(_TABLE_INDENT.sub("", wikitext))
    code = mwparserfromhell.parse(known, skip_style_tags=True)
    text = _render(code, silent_prefixes)
    return "\n".join(map(settle_marks, text.split("\n"))) if MARK in text else text


def _render(code: Wikicode | None, silent: set[str] | frozenset[str]) -> str:
    return "".join(_render_node(node, silent) for node in code.nodes) if code is not None else ""


def _render_node(node: Any, silent: set[str] | frozenset[str]) -> str:
    match node:
        case Text():
            return node.value
        case Wikilink():
            title = str(node.title)
            if ":" in title and _prefix(title.split(":")[0]) in silent:
                return ""
            return _render(node.title if node.text is None else node.text, silent).lstrip(":")
        case ExternalLink():
            return _render(node.title, silent)
        case HTMLEntity():
            return node.normalize()
        case Tag():
            return _render_tag(node, silent)
        case Template():
            return _render_template(node, silent)
        case Argument():
            return MARK
        case _:  # comments, headings
            return ""


def _render_tag(node: Tag, silent: set[str] | frozenset[str]) -> str:
    name = str(node.tag).strip().lower()
    if name == "br":
        return " "
    if name in FORMULA_ELEMENTS:
        return FORMULA
    return "" if name in _SILENT_TAGS else _render(node.contents, silent)


def _render_template(node: Template, silent: set[str] | frozenset[str]) -> str:
    if "\n" in str(node):  # a box beside the text
        return ""
    arguments = {str(one.name).strip(): _render(one.value, silent) for one in node.params}
    return template_text(str(node.name), arguments)


def _prefix(text: str) -> str:
    return text.strip().lower().replace("_", " ")
