"""Numbers for people: short, of a known greatest width, and still the number."""

import math

import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st

from xpt.program.formatting import (
    LINE_WIDTH,
    clip,
    duration,
    pad,
    short_count,
    short_number,
    short_size,
    wrap,
)

UNITS = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@given(st.floats(0, 1e300))
def test_a_count_keeps_three_digits(value):
    shown = short_count(value)
    stem = shown.rstrip("KMBT")
    read = float(stem) * UNITS[shown[len(stem) :]]
    assert len(shown) <= 6 and math.isclose(
        read, value, rel_tol=0.006 if value < 9e14 else 0.6, abs_tol=0.501
    )


@given(st.floats(allow_infinity=True, allow_nan=True).filter(lambda x: not 1e308 < abs(x) < math.inf))
def test_a_number_is_the_number(value):
    shown = short_number(value)
    assert len(shown) <= 7 + shown.startswith("-")
    if math.isfinite(value):
        tolerance = 0.6 if abs(value) >= 1e99 or abs(value) < 1e-99 else 0.06
        assert math.isclose(float(shown), value, rel_tol=tolerance, abs_tol=6e-4 * (abs(value) > 9e-3))
    else:
        assert shown == str(value)


@given(st.floats(0, 86_400 * 999))
def test_a_duration_loses_less_than_its_second_unit(seconds):
    shown = duration(seconds)
    units = [unit for unit in shown if unit in SECONDS]
    counts = [int(part) for part in "".join(c if c.isdigit() else " " for c in shown).split()]
    read = sum(count * SECONDS[unit] for count, unit in zip(counts, units, strict=True))
    assert len(shown) <= 6 and len(units) == len(counts)
    assert read - 1 <= seconds <= read + SECONDS[units[-1]]


@given(st.integers(0, 2**60 - 1))
def test_a_size_is_rounded_at_its_last_digit(count):
    number, unit = short_size(count).split()
    unit_bytes = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    half = (0.05 if "." in number else 0.5) * unit_bytes
    assert len(f"{number} {unit}") <= 8
    assert math.isclose(float(number) * unit_bytes, count, rel_tol=1e-9, abs_tol=half)
    assert float(number) >= 1 or unit == "B"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (short_count(1_258_415), "1.26M"),
        (short_count(0), "0"),
        (short_count(math.nan), "nan"),
        (short_number(4.12345), "4.123"),
        (short_number(7e-4), "7.0e-04"),
        (short_number(154.2), "154.2"),
        (duration(3725), "1h02m"),
        (duration(math.inf), "?"),
        (duration(1e12), ">999d"),
        (short_size(512), "512 B"),
        (short_size(2.3 * 2**30), "2.3 GiB"),
        (short_size(1023.7 * 2**20), "1.0 GiB"),
        (short_size(1023 * 2**30), "1023 GiB"),
        (pad("한국", 6) + "|", "한국  |"),
        (clip("한국어 문장", 6), "한국…"),
        (clip("short", 6), "short"),
        (clip("short", 1), "…"),
        (clip("short", 0), ""),
        (clip("short", -3), ""),
    ],
)
def test_examples(shown, expected):
    assert shown == expected


@given(st.text(alphabet="국회 a는e-오", max_size=400))
def test_wrapped_text_fits_and_loses_nothing_but_spaces(text):
    wrapped = wrap(text, "    ", "  * ")
    assert all(wcwidth.width(line) <= LINE_WIDTH for line in wrapped.splitlines())
    assert "".join(wrapped.split()).removeprefix("*") == "".join(text.split())
