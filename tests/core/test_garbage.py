"""A process that is set up collects garbage, though its start did without."""

import gc

from core.garbage import THRESHOLDS


def test_what_is_loaded_is_kept_and_what_is_made_since_is_collected() -> None:
    assert gc.isenabled()
    assert gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() > 100_000
