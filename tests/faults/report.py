"""`python -m tests.faults.report faults.json`: measured figures as a Markdown table; several files make one."""

import json
import sys
from pathlib import Path

from tests.faults.figures import FILE, table

if __name__ == "__main__":
    documents = [json.loads(Path(path).read_text()) for path in sys.argv[1:] or [FILE]]
    print(table({**documents[0], "figures": [line for each in documents for line in each["figures"]]}))  # noqa: T201
