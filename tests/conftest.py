"""What every test may use: real PostgreSQL and Redis, and a whole server.

The engines start when this file is read, because Django's settings want their addresses: hence no
DJANGO_SETTINGS_MODULE in `pyproject.toml`, which would have the settings read before.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import django
import pytest

from core.garbage import collect_from_here, load_without_collecting
from tests.servers import ROOT, TEMPLATE, Engines, Server
from tests.template import keep_template, kept_template

# Agent types of the server that all tests share.
AGENTS = "tests.stubs.agents,examples.approval,examples.functional,examples.multi_modal"
# And the graphs that it hosts.
GRAPHS = ROOT / "examples" / "graphs" / "langgraph.json"

if TEMPLATE not in os.environ and (kept := kept_template()) is not None:
    os.environ[TEMPLATE] = str(kept)
_engines = Engines(quick=True)
_engines.start()
os.environ.update(
    DJANGO_SETTINGS_MODULE="config.settings",
    DATA_DIR=str(_engines.data.path),
    DATABASE_URL=_engines.postgres.url,
    DATABASE_DIRECT_URL=_engines.postgres.url,
    REDIS_URL=_engines.redis.url,
    SECRET_KEY="only-for-tests-but-as-long-as-a-start-of-the-server-demands-it",
)
load_without_collecting()
django.setup()

# Imported once Django is set up.
pytest_plugins = ["tests.api", "tests.webhooks.hooks"]
from tests.quick import be_quick  # noqa: E402

be_quick()


def pytest_configure(config: pytest.Config) -> None:
    """Migrate once for all processes of a large run, and for the runs after it: they begin with a copy."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    if config.getoption("numprocesses", None):
        if TEMPLATE not in os.environ:
            call_command("migrate", verbosity=0)
            connections.close_all()
            _engines.postgres.stop()
            os.environ[TEMPLATE] = str(keep_template(_engines.postgres.folder))
        # They inherit it, and would have the settings read before they have engines of their own.
        del os.environ["DJANGO_SETTINGS_MODULE"]
    elif TEMPLATE in os.environ:
        own = settings.DATABASES["default"]
        own.setdefault("TEST", {})["TEMPLATE"] = own["NAME"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that drive real processes or browsers come first: a few slow tests at the end would keep one core alone."""
    slow = {item.path for item in items if any(item.iter_markers("servers")) or any(item.iter_markers("browser"))}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Thousands of tests are known now, and all modules that they need: no collection need look through them."""
    collect_from_here()


def pytest_unconfigure() -> None:
    _engines.stop()


@pytest.fixture(scope="session")
def engines() -> Engines:
    return _engines


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """Let the async pool, which opens its own connections, find the test database too."""
    from django.conf import settings

    name = settings.DATABASES["default"]["NAME"]
    settings.DATABASE_URL = urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}"))
    settings.DATABASE_DIRECT_URL = settings.DATABASE_URL


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server that all tests share: leave it as you would like to find it."""
    with (
        tempfile.TemporaryDirectory(prefix="agent-server-") as folder,
        Server(Path(folder), AGENT_SERVER_AGENTS=AGENTS, AGENT_SERVER_LANGGRAPH=str(GRAPHS)) as running,
    ):
        yield running
