"""`python -m tests.faults.report faults.json`: the last measured figures as a Markdown table."""

import json
import sys
from pathlib import Path

from tests.faults.figures import FILE, table

if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1] if sys.argv[1:] else FILE).read_text())))  # noqa: T201
