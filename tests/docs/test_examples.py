"""The examples of the documentation are run as they stand: the shell blocks of a page are one script."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.conftest import make_session
from tests.servers import Server

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def surroundings(server: Server) -> dict[str, str]:
    return {**os.environ, "URL": server.url, "KEY": server.key}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=lambda page: page.name)
def test_the_shell_examples_of_a_page_work(server: Server, page: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks(page, "bash"))
    done = subprocess.run(["bash", "-c", script], env=surroundings(server), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_websocket_example_says_what_it_was_told(server: Server) -> None:
    (program,) = blocks(ROOT / "docs" / "runs.md", "python")
    env = {**surroundings(server), "SESSION": make_session(server)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "hello"), done.stderr


def test_every_variable_that_is_read_is_documented() -> None:
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', (ROOT / "config" / "env.py").read_text()))
    told = set(re.findall(r"`([A-Z][A-Z_]{3,})`", (ROOT / "docs" / "configuration.md").read_text()))
    assert read - told <= {"DEBUG", "INFO"}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
