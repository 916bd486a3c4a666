"""What was measured: one line for each fault, printed at the end and written to `faults.json`."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path("faults.json")


@dataclass(frozen=True)
class Figure:
    """One line of the table; `met` is None where nothing is timed: then the invariants are the target."""

    fault: str
    expected: str
    measured: str
    target: str
    met: bool | None


class Figures:
    """The figures of this pytest session. `full`: the targets are asserted, too."""

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.lines: list[Figure] = []

    def record(self, *, fault: str, expected: str, measured: str, target: str, met: bool | None = None) -> None:
        """Add a line. In the full form a missed target fails the case; the line stands in the table all the same."""
        self.lines.append(Figure(fault, expected, measured, target, met))
        assert met is not False or not self.full, f"{fault}: {measured}, and the target is {target}"

    def document(self) -> dict[str, object]:
        return {
            "machine": f"{os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.platform()}",
            "full": self.full,
            "figures": [asdict(line) for line in self.lines],
        }

    def write(self, path: Path = FILE) -> None:
        path.write_text(json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n")


def table(document: dict[str, object]) -> str:
    """The figures as a Markdown table."""
    lines = [f"Measured on {document['machine']}; {'full size' if document['full'] else 'the short form'}.", ""]
    lines += ["| fault | expected | measured | target | met |", "|---|---|---|---|---|"]
    answers = {True: "yes", False: "**no**", None: ""}
    for figure in document["figures"]:  # type: ignore[attr-defined]
        cells = [figure[name] for name in ("fault", "expected", "measured", "target")]
        lines.append(f"| {' | '.join(cells)} | {answers[figure['met']]} |")
    return "\n".join(lines)


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
