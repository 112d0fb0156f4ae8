"""Draw xpt/ as its imports have it: a row a package, the highest first, arcs to what it imports.

python docs/draw_layout.py      writes docs/images/layout.svg; a test fails when that is stale
"""

import ast
import configparser
import html
import sys
from collections import Counter
from pathlib import Path

import grimp

PICTURE = Path(__file__).parent / "images" / "layout.svg"
REPO = Path(__file__).resolve().parents[1]
LINE, GAP, LEFT, WIDTH, MODULES = 16, 14, 20, 900, 112  # pixels, and characters of a line of modules
COLORS = "#3b6ea5 #a5573b #4f8a4f #8a4f83 #8a7a3b #3b8a8a #6b6b6b #a53b5e #5e5ea5 #555555".split()


def layers() -> list[str]:
    """The packages of xpt, the highest first, as the contract that `make lint` checks names them."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(REPO / "setup.cfg")
    return setup["importlinter:contract:direction"]["layers"].split()


def imports() -> dict[tuple[str, str], int]:
    """How often one package imports another."""
    graph = grimp.build_graph("xpt", cache_dir=None)
    counts: Counter[tuple[str, str]] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            one, other = (name.partition(".")[2].partition(".")[0] for name in (importer, imported))
            if one and other and one != other:
                counts[one, other] += 1
    return dict(counts)


def describe(name: str) -> tuple[str, list[str]]:
    """What a package says of itself in a line, and its modules; those of inner packages stand for them."""
    folder = REPO / "xpt" / name
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]
    if not folder.is_dir():
        return text, []
    inner = [f"{path.parent.name}/" for path in sorted(folder.glob("*/__init__.py"))]
    return text, inner + [path.stem for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


def wrapped(words: list[str]) -> list[str]:
    """Words in lines of at most `MODULES` characters."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 3 > MODULES:
            lines.append("")
        lines[-1] += f" · {word}" if lines[-1] else word
    return lines if words else []


def picture() -> str:
    """The SVG."""
    parts, top, middle = [], 20, {}
    for number, name in enumerate(layers()):
        text, modules = describe(name)
        lines = wrapped(modules)
        height = LINE * (len(lines) + 1) + 12
        color = COLORS[number % len(COLORS)]
        middle[name] = (top + height / 2, color)
        parts.append(
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{height}" rx="6" fill="#ffffff" '
            f'stroke="{color}"/>'
            f'<text x="{LEFT + 10}" y="{top + 18}" fill="{color}">{name}</text>'
            f'<text x="{LEFT + 110}" y="{top + 18}" fill="#222222">{html.escape(text)}</text>'
        )
        for row, line in enumerate(lines):
            parts.append(f'<text x="{LEFT + 110}" y="{top + 18 + LINE * (row + 1)}" class="m">{line}</text>')
        top += height + GAP
    for (one, other), count in sorted(imports().items()):
        (start, color), (end, _) = middle[one], middle[other]
        bend = LEFT + WIDTH + 14 + 0.32 * (end - start)
        edge = LEFT + WIDTH
        parts.append(
            f'<path d="M {edge} {start:.0f} C {bend:.0f} {start:.0f} {bend:.0f} {end:.0f} {edge + 4} '
            f'{end:.0f}" fill="none" stroke="{color}" stroke-opacity="0.7" '
            f'stroke-width="{0.6 + count**0.5 / 3:.1f}" '
            'marker-end="url(#head)"/>'
        )
    style = "text{font:12px sans-serif} .m{font:11px monospace;fill:#666666}"
    head = (
        '<marker id="head" markerUnits="userSpaceOnUse" markerWidth="7" markerHeight="6" refX="6" refY="3" '
        'orient="auto">'
        '<path d="M0 0 L7 3 L0 6 Z" fill="#444444"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 260}" height="{top}">'
        f'<style>{style}</style><defs>{head}</defs><rect width="100%" height="100%" fill="#fafafa"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    sys.exit()
