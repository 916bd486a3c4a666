"""The short form of `make fuzz`: the same few requests for each operation, every time.

What it leaves to the long form is each field's every wrong value, which `tests/bad_input` sends, too.
"""

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


def test_made_up_requests_get_the_answers_that_are_documented() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--phases", "fuzzing"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "FUZZ_EXAMPLES": "3"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-10_000:]
