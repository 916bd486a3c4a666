"""A PostgreSQL's folder, migrated and at rest, kept from one run of the tests for the next ones.

It is good for as long as nothing changes that makes it: the migrations and what they import, the packages, and how
PostgreSQL is set up. `make clean` removes it.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.servers import ROOT

_KEPT = ROOT / ".pytest_cache"
_MADE_BY = ("requirements.lock", "config/settings.py", "config/serve/postgres.py", "core/clock.py", "core/ids.py")


def kept_template() -> Path | None:
    """The folder, if there is one that still holds and that we may read."""
    folder = _folder()
    return folder if folder.is_dir() and os.geteuid() in {0, folder.stat().st_uid} else None


def keep_template(folder: Path) -> Path:
    """Keep a copy of the folder in place of what was kept before; gives where it is."""
    _KEPT.mkdir(exist_ok=True)
    fresh = _KEPT / f"making-{os.getpid()}"
    subprocess.run(["cp", "-a", folder, fresh], check=True)
    for old in _KEPT.glob("postgres-*"):
        shutil.rmtree(old, ignore_errors=True)
    try:
        fresh.rename(_folder())
    except OSError:
        # Another run was quicker, or what is there is another user's.
        shutil.rmtree(fresh, ignore_errors=True)
        return folder
    return _folder()


def _folder() -> Path:
    made_by = [*(ROOT / name for name in _MADE_BY), *sorted(ROOT.glob("*/migrations/*.py"))]
    digest = hashlib.sha256()
    for path in made_by:
        digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return _KEPT / f"postgres-{digest.hexdigest()[:16]}"
