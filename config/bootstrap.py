"""The first rows of a new database. Repeating it changes nothing but the sign-in link, which is fresh each time."""

import secrets
from urllib.parse import quote

from django.conf import settings
from django.db import transaction

from accounts.credentials import digest_of
from accounts.identity import EVERYTHING, Identity
from accounts.models import ApiKey, Membership, Role, TicketPurpose, User, Workspace
from accounts.services import create_workspace, grant_api_key, issue_ticket
from assistants.models import Assistant
from assistants.services import create_assistant
from config.env import ENV
from config.serve.data_dir import DataDir
from config.serve.probes import check_bootstrap_key

ADMIN = "admin"
ECHO = {
    "name": "Echo",
    "description": "Answers with your own words, without a model: the place to try things out.",
    "llm": {"provider": "fake", "model": "echo"},
}


def bootstrap() -> dict[str, str | None]:
    """Make the workspace, the admin, the API key and a demo assistant, as far as they are missing.

    Gives `api_key`, `admin_user`, `admin_password` (None once the person has chosen another) and `sign_in_path`,
    which works once. What the environment does not set is made up once and kept in the data folder.
    """
    check_bootstrap_key(ENV.bootstrap_key)
    data = DataDir(ENV.data_dir)
    data.create()
    with transaction.atomic():
        workspace = Workspace.objects.filter(slug="default").first() or create_workspace("Default", "default")
        admin, password = _admin(workspace, data)
        key = _api_key(workspace, data)
        if not Assistant.objects.filter(workspace=workspace).exists():
            create_assistant(_as_admin(workspace), ECHO)
        ticket, _ = issue_ticket(
            TicketPurpose.SIGN_IN, user=admin, workspace=workspace, path=settings.LOGIN_REDIRECT_URL
        )
    return {
        "api_key": key,
        "admin_user": ADMIN,
        "admin_password": password,
        "sign_in_path": f"/sign-in/{ticket}?next={quote(settings.LOGIN_REDIRECT_URL)}",
    }


def _admin(workspace: Workspace, data: DataDir) -> tuple[User, str | None]:
    password = ENV.admin_password or data.keep("admin_password", lambda: secrets.token_urlsafe(12))
    admin = User.objects.filter(username=ADMIN).first()
    # To look at a password takes a third of a second: once is enough.
    theirs = False
    if admin is None:
        admin = User.objects.create_superuser(ADMIN, password=password)
    elif not admin.check_password(password):
        theirs = not ENV.admin_password
        if not theirs:
            admin.set_password(password)
            admin.save(update_fields=["password"])
    Membership.objects.get_or_create(workspace=workspace, user=admin, defaults={"role": Role.ADMIN})
    return admin, None if theirs else password


def _api_key(workspace: Workspace, data: DataDir) -> str:
    key = ENV.bootstrap_key or data.read("api_key")
    known = ApiKey.objects.filter(digest=digest_of(key)).first() if key else None
    if known is not None and (known.revoked_at is None or ENV.bootstrap_key):
        # One that somebody revoked stays revoked, also where the environment still names it.
        return key
    if known is not None:
        key = ""
    itself = Identity(workspace.id, frozenset({EVERYTHING}), "command:bootstrap")
    _, key = grant_api_key(itself, "bootstrap", [EVERYTHING], key=key or None)
    if not ENV.bootstrap_key:
        data.write_private("api_key", key + "\n")
    return key


def _as_admin(workspace: Workspace) -> Identity:
    return Identity(workspace_id=workspace.id, scopes=frozenset({EVERYTHING}), actor=f"user:{ADMIN}")
