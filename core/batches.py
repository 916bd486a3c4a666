"""Housekeeping of large backlogs: in batches, each a transaction of its own, so many of them in a round."""

from collections.abc import Callable


def in_batches(carry_out: Callable[[], int], batch: int, batches: int) -> int:
    """Carry out a batch, which gives how many rows it had, until one is not full, `batches` times at most.

    Gives how many rows that were.
    """
    done = 0
    for _ in range(batches):
        these = carry_out()
        done += these
        if these < batch:
            break
    return done
