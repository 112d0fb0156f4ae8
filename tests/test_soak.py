"""Killing a run is safe: three kills here; `python tests/soak/kill.py --kills 20` for more."""

import pytest
from soak.kill import soak


@pytest.mark.slow
def test_a_run_killed_three_times_ends_as_if_undisturbed(tmp_path):
    kills = soak(tmp_path, kills=3, seed=1)
    assert [kill.hit for kill in kills] == [True] * 3
