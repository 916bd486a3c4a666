"""Where the server is started does not change what it is."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT


def test_files_where_it_is_started_do_not_take_the_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "graphs.py").write_text("raise SystemExit('the wrong graphs')")
    (tmp_path / "my_agents.py").write_text("")
    asked = "import graphs.apps, my_agents; print(graphs.__file__, my_agents.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[0] = {str(ROOT)!r}; import config.celery; {asked}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(ROOT / "graphs" / "__init__.py"), str(tmp_path / "my_agents.py")]
