"""The oldest versions that setup.cfg allows are those that `make test-floor` installs and tests."""

import configparser
import re

from packaging.version import Version
from places import REPO


def pins(file: str) -> dict[str, str]:
    """Versions by package, as a file of constraints has them."""
    lines = (REPO / file).read_text(encoding="utf-8").splitlines()
    return {normal(name): version for name, version in (line.split("==") for line in lines if "==" in line)}


def normal(name: str) -> str:
    return re.sub(r"\[.*\]", "", name).lower().replace("_", "-")


def test_the_floor_is_what_setup_cfg_says():
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(REPO / "setup.cfg")
    required = [line.split(">=") for line in setup["options"]["install_requires"].split()]
    assert len(required) > 20
    floor = pins("constraints-floor.txt")
    for name, oldest in required:
        assert Version(floor[normal(name)]) == Version(oldest), name


def test_what_tests_the_floor_tests_the_newest_too():
    floor, newest = pins("constraints-floor.txt"), pins("constraints.txt")
    for name in floor.keys() & newest.keys():
        assert Version(floor[name]) <= Version(newest[name]), name
    for name in ("pytest", "pytest-xdist", "hypothesis"):
        assert floor[name] == newest[name]
