"""People of a workspace who are signed in, and a real browser at a real server."""

import os
import shutil
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright

from accounts.identity import Identity
from accounts.models import Membership, Role, User, Workspace
from accounts.services import create_workspace
from assistants.services import create_assistant
from core.ids import new_id
from tests.servers import PASSWORD, Server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Person:
    """Somebody with a role in a workspace, and their browser without JavaScript."""

    def __init__(self, workspace: Workspace, name: str, role: Role = Role.MEMBER):
        self.user = User.objects.create_user(name)
        Membership.objects.create(workspace=workspace, user=self.user, role=role)
        self.client = Client()
        self.client.force_login(self.user)

    def get(self, address: str) -> Any:
        return self.client.get(address)

    def start(self, assistant_id: UUID, message: str, run_id: UUID | None = None) -> Any:
        """Send the first message of a conversation."""
        form = {"assistant": assistant_id, "message": message, "run": run_id or new_id()}
        return self.client.post("/console/chat", form)

    def conversation(self, assistant_id: UUID, message: str = "Hello") -> str:
        """Start a conversation; gives its address."""
        answer = self.start(assistant_id, message)
        assert answer.status_code == 201, answer.content
        return str(answer.json()["address"])


@pytest.fixture
def workspace(db: None) -> Workspace:
    return create_workspace("Acme", "acme")


@pytest.fixture
def echo(workspace: Workspace) -> UUID:
    """An active assistant."""
    identity = Identity(workspace.pk, frozenset({"*"}), "key:tests")
    made = create_assistant(identity, {"name": "Echo", "llm": {"provider": "fake", "model": "echo"}})
    return UUID(str(made.pk))


@pytest.fixture
def ada(workspace: Workspace) -> Person:
    """A member."""
    return Person(workspace, "ada")


@pytest.fixture
def bob(workspace: Workspace) -> Person:
    """Another member."""
    return Person(workspace, "bob")


class Tab:
    """A tab at the chat, signed in; it notes what the console said and what was asked of strangers."""

    def __init__(self, page: Page, server: Server):
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:")):
            self.strangers.append(url)

    def sign_in(self) -> None:
        self.page.goto(f"{self.server.url}/login?next=/console/")
        self.page.fill("[name=username]", "admin")
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("button[type=submit]")
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector("#main[data-ready]")

    def assistant(self, *turns: dict[str, Any], **config: Any) -> str:
        """An assistant that plays these turns; gives its id."""
        llm = {"provider": "fake", "model": "script", "settings": {"turns": list(turns)}}
        answer = self.server.client.post("/assistants", json={"name": f"Test {uuid4()}", "llm": llm, **config})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def begin(self, assistant_id: str, message: str) -> None:
        """Start a conversation, and be on its page."""
        self.page.goto(f"{self.server.url}/console/chat?assistant={assistant_id}")
        self.ready()
        self.say(message)
        self.page.wait_for_url("**/console/chat/*-*")
        self.ready()

    def say(self, message: str) -> None:
        self.page.fill("#message", message)
        self.page.press("#message", "Enter")

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def wait(self, selector: str) -> str:
        """Wait for the first of these to be there; gives its text."""
        self.page.wait_for_selector(selector, timeout=20_000)
        return self.page.inner_text(selector)

    def source(self) -> str:
        """What was said, as the Markdown that the Copy button gives."""
        return str(self.page.evaluate("document.querySelector('.turn').turn.markdown"))


# For a module, because Playwright keeps an event loop running in this thread, where asyncio tests have theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        # In CI it is installed first, so its absence there is a fault and not a circumstance.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("There is no chromium here; the browser tests need it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, server: Server) -> Any:
    """What a browser keeps of a login."""
    context = browser.new_context()
    Tab(context.new_page(), server).sign_in()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def tab(browser: Browser, server: Server, signed_in: Any) -> Iterator[Tab]:
    """A fresh browser profile, signed in. Nothing in a test may make the page complain or ask a stranger."""
    context = browser.new_context(viewport={"width": 1100, "height": 760}, storage_state=signed_in)
    tab = Tab(context.new_page(), server)
    tab.page.goto(f"{server.url}/console/chat")
    tab.ready()
    yield tab
    context.close()
    assert tab.complaints == []
    assert tab.strangers == []
