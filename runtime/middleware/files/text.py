"""Looking at a file's text, and changing it. Lines end with a line feed and are counted from 1."""

from core.patterns import PatternError, linear
from runtime.middleware.files.rules import FileFault

MAX_FOUND = 50
MAX_SHOWN = 500  # of a line in which something was found


def lines_of(text: str) -> list[str]:
    """The lines without their ends."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def numbered(text: str, start: int, limit: int) -> str:
    """`limit` lines from `start` on in the form of `cat -n`, and a last line that says where there is more.

    Raises `FileFault` where the text ends before `start`.
    """
    lines = lines_of(text)
    if not lines and start == 1:
        return "The file is empty."
    if start > len(lines):
        raise FileFault(f"The file has {len(lines)} lines.")
    shown = lines[start - 1 : start - 1 + limit]
    end = start - 1 + len(shown)
    more = [f"[Lines {start} to {end} of {len(lines)}.]"] if len(shown) < len(lines) else []
    return "\n".join([*(f"{number:>6}\t{line}" for number, line in enumerate(shown, start)), *more])


def replaced_text(text: str, old: str, new: str, *, everywhere: bool) -> tuple[str, int]:
    """The text with `new` for `old`, and how often. Raises `FileFault` unless it occurs, once or `everywhere`."""
    count = text.count(old)
    if count == 0:
        raise FileFault("The old text does not occur in the file.")
    if count > 1 and not everywhere:
        raise FileFault(f"The old text occurs {count} times: give more of it, or set replace_all.")
    return text.replace(old, new), count


def replaced_lines(text: str, first: int, last: int, new: str) -> str:
    """The text with `new` in place of its lines `first` to `last`; an empty `new` takes them out.

    Raises `FileFault` where there are no such lines.
    """
    lines = lines_of(text)
    if last < first:
        raise FileFault("end_line is before start_line.")
    if last > len(lines):
        raise FileFault(f"The file has {len(lines)} lines.")
    changed = [*lines[: first - 1], *(lines_of(new) if new else []), *lines[last:]]
    ends = text.endswith("\n") or (last == len(lines) and new.endswith("\n"))
    return "\n".join(changed) + ("\n" if changed and ends else "")


def found_in(text: str, pattern: str) -> tuple[list[tuple[int, str]], bool]:
    """The numbered lines in which the expression occurs, at most `MAX_FOUND`, and whether there are more.

    Raises `FileFault` for an expression that the engine does not take.
    """
    try:
        expression = linear(pattern)
    except PatternError:
        raise FileFault(
            "The pattern is not a regular expression without look-around, back-references and great repetitions."
        ) from None
    found: list[tuple[int, str]] = []
    for number, line in enumerate(lines_of(text), start=1):
        if expression.isinstance_python(line):
            if len(found) == MAX_FOUND:
                return found, True
            found.append((number, line[:MAX_SHOWN]))
    return found, False
