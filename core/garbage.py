"""Python's garbage collector in our processes."""

import gc

# Objects made since the last collection before there is another one, of the youngest and of the two older generations.
# Python's own 700 are met several times in each run, and most of what runs leave goes without a collection.
THRESHOLDS = (10_000, 20, 20)


def load_without_collecting() -> None:
    """For the beginning of a process: what modules and classes are made of stays.

    To look through it again and again, while there is ever more of it, was a quarter of a start.
    """
    gc.disable()


def collect_from_here() -> None:
    """Collect what is made from now on, and seldom; what is loaded by now stays as it is, its little garbage too."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


def keep_what_is_loaded() -> None:
    """What a process has loaded when it begins to serve it keeps: collections no longer look through that.

    They would find nothing in hundreds of thousands of objects of modules and classes, each time anew: that was a
    sixth of a worker's time.
    """
    gc.collect()
    collect_from_here()
