"""`seq` of a thread's events: one rising number, made of the place in the log, so that every reader sees the same.

Number of the run in its thread, number of the event in the run, place among what one event of the log is told as. It
stays below 2^53: JavaScript's clients hold it in a double.
"""

from runs.events import Position

_SEQ_BITS, _INDEX_BITS = 22, 10
_MAX_RUN = (1 << 21) - 1
_MAX_SEQ = (1 << _SEQ_BITS) - 1
MAX_INDEX = (1 << _INDEX_BITS) - 1


def seq_of(position: Position, index: int) -> int:
    """The `seq` of what is told as the `index`-th of the log's event at `position`."""
    number, seq = min(position[0], _MAX_RUN), min(position[1], _MAX_SEQ)
    return (number << _SEQ_BITS + _INDEX_BITS) + (seq << _INDEX_BITS) + min(index, MAX_INDEX)


def through(position: Position) -> int:
    """The last `seq` that the log's event at `position` can have."""
    return seq_of(position, MAX_INDEX)


def run_number_of(seq: int) -> int:
    """The number in its thread of the run that an event of this `seq` is of."""
    return min(max(seq, 0) >> (_SEQ_BITS + _INDEX_BITS), _MAX_RUN)
