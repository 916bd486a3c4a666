"""Two workspaces, the keys and the people at their doors, and a way to knock: the whole web application, no server."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.identity import FAMILIES
from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import create_api_key, put_secret, revoke_api_key
from assistants.services import tag_version
from config.asgi import application, django_app
from core.edge import Edge
from core.ids import new_id
from runs.accepting import create_run
from runs.bodies import CreateRun
from runs.models import Artifact
from scheduling.bodies import CreateSchedule
from scheduling.models import Firing, Outcome, TriggerCall
from scheduling.services import create_schedule
from scheduling.trigger_bodies import CreateTrigger
from scheduling.triggers import create_trigger
from sessions.bodies import OpenSession
from sessions.files import put_file
from sessions.models import Message
from sessions.services import open_session
from tests.api import UNKNOWN, Api
from tests.doors.cases import Case
from tests.prints import Prints
from webhooks.bodies import CreateWebhook
from webhooks.kinds import Kind
from webhooks.models import Alert, Endpoint
from webhooks.services import create_endpoint, send_test

# In what belongs to the workspace, and in what belongs to one of its users. No answer may hold what its caller may not
# see.
OF_WORKSPACE, OF_USER = "hush-workspace", "hush-user"
# The application without the async routes, as a login's request goes through it.
DJANGO: Any = Edge(django_app)  # type: ignore[arg-type]
# What differs between two answers that say the same.
_OF_THE_REQUEST = {b"x-request-id", b"date", b"set-cookie"}


@dataclass(frozen=True)
class Answer:
    """What came back; of a stream, how it began."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The one error body."""
        document: dict[str, Any] = self.document
        assert set(document) == {"detail", "code", "request_id", "errors"}
        return document

    @property
    def told(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """All that a caller could tell two answers from each other by, without what is of the request itself."""
        headers = [(name, value) for name, value in self.headers if name not in _OF_THE_REQUEST]
        identifier = dict(self.headers).get(b"x-request-id", b"-")
        return self.status, headers, self.body.replace(identifier, b"")


@dataclass
class World:
    """What there is. `ids` are our workspace's, of ann's session; each is the name of a parameter in a path."""

    OBJECTS = (
        "assistant_id",
        "session_id",
        "checkpoint_id",
        "run_id",
        "artifact_id",
        "schedule_id",
        "trigger_id",
        "api_key_id",
        "key_id",
        "member_id",
        "workspace_id",
        "webhook_id",
        "delivery_id",
        "alert_id",
    )

    loop: asyncio.Runner
    ours: Api = field(init=False)
    theirs: Api = field(init=False)
    ids: dict[str, str] = field(init=False)
    keys: dict[str, str] = field(init=False)
    people: dict[str, Client] = field(init=False)
    _prints: Prints = field(init=False)

    def __post_init__(self) -> None:
        self.ours = Api(Workspace.objects.create(name="Ours", slug="ours"))
        self.theirs = Api(Workspace.objects.create(name="Theirs", slug="theirs"))
        self.ids = self.fresh()
        self.keys = self._keys()
        self.people = self._people()
        self._prints = Prints(_execute)

    def fresh(self) -> dict[str, str]:
        """Ids of new objects, for a request that may change them."""
        caller, ours = self.ours.identity, self.ours.workspace
        person = User.objects.create(username=f"{OF_WORKSPACE}.{uuid4()}", password=make_password(None))
        files = {"name": "files", "settings": {"directories": [{"path": "/", "scope": "user"}]}}
        assistant = self.ours.assistant(
            name=f"{OF_WORKSPACE} {uuid4()}", metadata={OF_WORKSPACE: 1}, middleware=[files]
        )
        tag_version(caller, UUID(assistant), 1, "stable")
        said = {"messages": [{"role": "user", "content": OF_USER}]}
        opening = OpenSession.model_validate({"user_id": "ann", "title": OF_USER, "initial_state": said})
        session = open_session(caller, UUID(assistant), opening).run()
        put_file(caller, session["id"], "/kept.txt", OF_USER).run()
        run = create_run(caller, session["id"], CreateRun(input={"message": OF_USER}), new_id()).run()
        key, _ = create_api_key(ours, OF_WORKSPACE, ["keys:read"], user_id="ann")
        secret = f"secret_{uuid4().hex[:20]}"
        put_secret(caller, secret, OF_WORKSPACE, ["a.example"])
        called = [{"id": "c1", "name": "calculator", "args": {"expression": OF_USER}}]
        Message.objects.filter(session_id=session["id"]).update(run_id=run["id"], tool_calls=called)
        kept = {"name": OF_USER, "mime_type": "text/plain", "size": len(OF_USER), "content": OF_USER.encode()}
        artifact = Artifact.objects.create(run_id=run["id"], **kept)
        daily = {"name": OF_USER, "cron": "0 9 * * *", "input": {"message": OF_USER}, "user_id": "ann"}
        schedule = create_schedule(caller, UUID(assistant), CreateSchedule.model_validate(daily))
        trigger, _ = create_trigger(caller, UUID(assistant), CreateTrigger(name=OF_USER, user_id="ann"), new_id())
        TriggerCall.objects.create(trigger=trigger, delivery_id=OF_USER, outcome=Outcome.STARTED, run_id=run["id"])
        Firing.objects.create(schedule=schedule, outcome=Outcome.STARTED, run_id=run["id"], reason=OF_USER)
        return {
            "assistant_id": assistant,
            "schedule_id": str(schedule.pk),
            "trigger_id": str(trigger.pk),
            "session_id": str(session["id"]),
            "checkpoint_id": str(session["checkpoint_id"]),
            "run_id": str(run["id"]),
            "artifact_id": str(artifact.pk),
            "call_id": "c1",
            "api_key_id": str(key.pk),
            "key_id": str(key.pk),
            "workspace_id": str(ours.pk),
            "username": person.get_username(),
            "member_id": str(Membership.objects.create(workspace=ours, user=person, invited=True).pk),
            "name": secret,
            "number": "1",
            "tag": "stable",
            "path": "kept.txt",
            "middleware_id": "user_context",
            "new": str(uuid4()),
            **self._webhook(),
        }

    def _webhook(self) -> dict[str, str]:
        """One with a delivery, and an alert. Of those of earlier requests that nobody asks for any more, none is left:
        a workspace may have so many."""
        caller, kept = self.ours.identity, vars(self).get("ids", {}).get("webhook_id")
        Endpoint.objects.filter(name=OF_WORKSPACE).exclude(id=kept).delete()
        body = {"name": OF_WORKSPACE, "url": f"https://example.com/{OF_WORKSPACE}", "events": ["queue.stuck"]}
        endpoint, _ = create_endpoint(caller, CreateWebhook.model_validate(body))
        alert = {"kind": Kind.QUEUE_STUCK, "subject": str(uuid4()), "message": OF_WORKSPACE}
        return {
            "webhook_id": str(endpoint.pk),
            "delivery_id": str(send_test(caller, endpoint.pk).pk),
            "alert_id": str(Alert.objects.create(workspace=self.ours.workspace, **alert).pk),
        }

    def mend(self) -> None:
        """After a request that may stop every run there is."""
        if self.ours.get(f"/runs/{self.ids['run_id']}").json()["status"] != "pending":
            self.ids = self.fresh()

    def unknown(self) -> dict[str, str]:
        """The ids of nothing; what has no id, as it is. As long as the others: pages repeat them."""
        nothing = "nothing".ljust(len(self.ids["name"]), "0")
        return {**self.ids, **dict.fromkeys(self.OBJECTS, UNKNOWN), "name": nothing}

    def _keys(self) -> dict[str, str]:
        ours = self.ours.workspace
        made = {name: create_api_key(ours, name, ["*"]) for name in ("expired", "revoked", "everything")}
        ApiKey.objects.filter(id=made["expired"][0].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        revoke_api_key(self.ours.identity, made["revoked"][0].pk)
        keys = {name: key for name, (_, key) in made.items()}
        keys["malformed"], keys["unknown"] = "no key", "sk_" + "0" * 50
        keys["stranger"] = create_api_key(self.theirs.workspace, "stranger", ["*"])[1]
        for user in ("ann", "bob"):
            keys[user] = create_api_key(ours, user, ["*"], user_id=user)[1]
        return keys

    def key_with(self, *scopes: str) -> str:
        """Our workspace's key with these scopes and no more."""
        name = " ".join(sorted(scopes))
        if name not in self.keys:
            self.keys[name] = create_api_key(self.ours.workspace, "some scopes", scopes)[1]
        return self.keys[name]

    def key_without(self, family: str, verbs: tuple[str, ...] = ("read", "write")) -> str:
        """Our workspace's key with all scopes but these of the family."""
        every = {f"{other}:{verb}" for other in FAMILIES for verb in ("read", "write")}
        return self.key_with(*(every - {f"{family}:{verb}" for verb in verbs}))

    def _people(self) -> dict[str, Client]:
        belongs = {
            "ann": (self.ours.workspace, Role.MEMBER),
            "bob": (self.ours.workspace, Role.MEMBER),
            "admin": (self.ours.workspace, Role.ADMIN),
            "stranger": (self.theirs.workspace, Role.ADMIN),
            "outsider": None,
        }
        people = {"nobody": Client()}
        for name, membership in belongs.items():
            person = User.objects.create_user(name)
            if membership:
                Membership.objects.create(workspace=membership[0], user=person, role=membership[1])
            people[name] = Client()
            people[name].force_login(person)
        return people

    # -- knocking --------------------------------------------------------------------------------------------------

    def ask(
        self, case: Case, ids: Mapping[str, str], headers: Mapping[str, str], *, method: str = "", django: bool = False
    ) -> Answer:
        """Send the case's request. `django`: past the async routes."""
        return self.send(method or case.method, filled(case.path, ids), filled(case.body, ids), headers, django=django)

    def send(self, method: str, path: str, body: Any, headers: Mapping[str, str], *, django: bool = False) -> Answer:
        """Any request. A stream is left as soon as it has begun."""
        return self.loop.run(_send(DJANGO if django else application, method, path, body, headers))

    def rows(self) -> list[Any]:
        """A print of every row that there is."""
        return self._prints.take()

    def anns(self) -> Any:
        """What is ann's, as it is."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT to_jsonb(s)::text, to_jsonb(r)::text, (SELECT count(*) FROM messages WHERE session_id = s.id) "
                "FROM sessions s JOIN runs r ON r.session_id = s.id WHERE s.id = %s",
                [self.ids["session_id"]],
            )
            return cursor.fetchall()


def _execute(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def filled(template: Any, ids: Mapping[str, str]) -> Any:
    """A path or a body with the ids at their places."""
    match template:
        case str():
            return template.format(**ids) if "{" in template else template
        case dict():
            return {name: filled(value, ids) for name, value in template.items()}
        case list():
            return [filled(value, ids) for value in template]
    return template


async def _send(app: Any, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
    path, _, query = path.partition("?")
    raw = b"" if body is None else json.dumps(body).encode()
    sent = {"host": "testserver", "accept": "application/json", **headers}
    if body is not None:
        sent |= {"content-type": "application/json", "content-length": str(len(raw))}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    requests = [{"type": "http.request", "body": raw, "more_body": False}]
    heard: list[Any] = []
    over = asyncio.Event()

    async def receive() -> Any:
        if requests:
            return requests.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        heard.append(message)
        is_stream = (b"content-type", b"text/event-stream; charset=utf-8") in heard[0]["headers"]
        if is_stream or (message["type"] == "http.response.body" and not message.get("more_body")):
            over.set()

    await app(scope, receive, send)
    said = b"".join(message.get("body", b"") for message in heard[1:])
    return Answer(heard[0]["status"], [(name.lower(), value) for name, value in heard[0]["headers"]], said)
