"""Bars and heat maps as HTML: the browser's own fonts draw Korean, and nothing is wider than the screen.

Every text in them is escaped: it comes from visitors and from vocabularies.
"""

from collections.abc import Sequence
from html import escape

CSS = """
.xpt-top, .xpt-columns { word-break: keep-all; }
#language { flex: 0 0 auto; }
#language .wrap { flex-wrap: nowrap; }
@media (max-width: 640px) { .xpt-top { flex-direction: column-reverse; } }
.xpt-columns { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.xpt-columns > section { min-width: 0; }
.xpt-columns h3 { margin: 0.5rem 0; font-size: 1.05rem; overflow-wrap: anywhere; }
.xpt-columns h4 { margin: 0.5rem 0; font-size: 0.95rem; font-weight: 500; }
.xpt-bars { display: grid; grid-template-columns: minmax(5.5rem, max-content) 1fr 3.8rem;
  gap: 0.35rem 0.6rem; align-items: center; font-size: 1rem; margin: 0; }
.xpt-bars dt { overflow-wrap: anywhere; max-width: 9rem; }
.xpt-bars dd { margin: 0; display: contents; }
.xpt-track { background: rgba(127, 127, 127, 0.15); border-radius: 4px; height: 1.1rem; }
.xpt-bar { background: #1f6fc4; border-radius: 4px; height: 100%; min-width: 2px; }
.xpt-share { text-align: right; font-variant-numeric: tabular-nums; }
.xpt-scroll { overflow-x: auto; max-width: 100%; }
.xpt-scroll .xpt-heat { border: 0; border-collapse: separate; border-spacing: 1px;
  font-size: 0.8rem; line-height: 1.1; margin: 0; }
.xpt-heat th { font-weight: 400; padding: 2px; border: 0; white-space: nowrap; }
.xpt-heat thead th { vertical-align: bottom; text-align: center; }
.xpt-heat thead th span { writing-mode: vertical-rl; text-orientation: mixed; display: inline-block; }
.xpt-heat tbody th { text-align: right; position: sticky; left: 0;
  background: var(--body-background-fill, #fff); }
.xpt-heat td { padding: 0; border: 0; min-width: 1.3rem; width: 1.6rem; height: 1.5rem; }
.xpt-scale { display: flex; align-items: center; gap: 0.5rem; font-size: 0.8rem; margin-top: 0.4rem; }
.xpt-scale i { width: 8rem; height: 0.7rem;
  background: linear-gradient(90deg, rgba(31, 111, 196, 0.04), #1f6fc4); }
.xpt-problem { border-left: 4px solid #c2571a; padding: 0.6rem 0.8rem; background: rgba(194, 87, 26, 0.12); }
.xpt-note { font-size: 0.85rem; opacity: 0.8; margin-top: 0.8rem; }
"""


def bars(shares: Sequence[tuple[str, float]], longest: float) -> str:
    """Labels with their probabilities, 0 to 1, as bars; one of `longest` fills the width."""
    rows = [
        f'<dt>{escape(label)}</dt><dd><div class="xpt-track"><div class="xpt-bar" '
        f'style="width: {100 * share / max(longest, 1e-9):.1f}%"></div></div>'
        f'<div class="xpt-share">{percent(share)}</div></dd>'
        for label, share in shares
    ]
    return f'<dl class="xpt-bars">{"".join(rows)}</dl>'


def heat_map(tokens: Sequence[str], weights: Sequence[Sequence[float]], largest: float) -> str:
    """Square `weights`, 0 to 1, as a table of cells: row i looks at column j; `largest` is darkest."""
    names = [escape(token) for token in tokens]
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(_cell(name, other, weight, largest) for other, weight in zip(names, row, strict=True))
        + "</tr>"
        for name, row in zip(names, weights, strict=True)
    )
    table = f'<table class="xpt-heat"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    scale = f'<div class="xpt-scale">0<i></i>{percent(largest)}</div>'
    return f'<div class="xpt-scroll" tabindex="0">{table}</div>{scale}'


def _cell(looking: str, seen: str, weight: float, largest: float) -> str:
    shade = 0.04 + 0.96 * weight / max(largest, 1e-9)
    title = f"{looking} → {seen}: {percent(weight)}"
    return f'<td title="{title}" style="background: rgba(31, 111, 196, {shade:.3f})"></td>'


def percent(share: float) -> str:
    """A probability in percent, one decimal."""
    return f"{100 * share:.1f}%"


def columns(sections: Sequence[tuple[str, str]], note: str = "") -> str:
    """Titles and HTML side by side, one below the other on a narrow screen, and a note below all."""
    shown = "".join(f"<section><h3>{escape(title)}</h3>{content}</section>" for title, content in sections)
    below = f'<p class="xpt-note">{escape(note)}</p>' if note else ""
    return f'<div class="xpt-columns">{shown}</div>{below}'


def heading(text: str) -> str:
    """A heading inside a column."""
    return f"<h4>{escape(text)}</h4>"


def problem(message: str) -> str:
    """What is wrong with an input, in one line."""
    return f'<div class="xpt-problem" role="alert">{escape(message)}</div>'
