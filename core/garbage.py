"""Python's garbage collector in a process that serves for long."""

import gc

# Objects made since the last collection before there is another one, of the youngest and of the two older generations.
# Python's own 700 are met several times in each run, and most of what runs leave goes without a collection.
THRESHOLDS = (50_000, 20, 50)


def keep_what_is_loaded() -> None:
    """What a process has loaded when it begins to serve it keeps: collections no longer look through that.

    They would find nothing in hundreds of thousands of objects of modules and classes, each time anew: that was a
    sixth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
