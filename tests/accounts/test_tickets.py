"""Credentials that work once."""

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Ticket, TicketPurpose, User, Workspace
from accounts.services import issue_ticket, redeem_ticket
from accounts.tasks import forget_expired
from accounts.websocket import authenticate_websocket
from core.errors import BadRequest, Forbidden, Unauthenticated
from tests.accounts.conftest import ApiFor, in_thread

PATH = "/ws/sessions/1"


def test_a_ticket_works_once(person: User, workspace: Workspace) -> None:
    token, _ = issue_ticket(TicketPurpose.SIGN_IN, path="/console/", user=person, workspace=workspace)
    redeemed = redeem_ticket(token, TicketPurpose.SIGN_IN).run()
    assert (redeemed.user_id, redeemed.workspace_id, redeemed.path) == (person.id, workspace.id, "/console/")
    with pytest.raises(Unauthenticated):
        redeem_ticket(token, TicketPurpose.SIGN_IN).run()


def test_a_ticket_is_for_one_purpose_and_one_path(db: None) -> None:
    token, _ = issue_ticket(TicketPurpose.WEBSOCKET, path=PATH)
    for purpose, path in [(TicketPurpose.SIGN_IN, PATH), (TicketPurpose.WEBSOCKET, "/ws/sessions/2")]:
        with pytest.raises(Unauthenticated):
            redeem_ticket(token, purpose, path).run()
    assert redeem_ticket(token, TicketPurpose.WEBSOCKET, PATH).run().path == PATH


def test_an_expired_ticket_is_worth_nothing(db: None) -> None:
    token, _ = issue_ticket(TicketPurpose.WEBSOCKET, path=PATH)
    Ticket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        redeem_ticket(token, TicketPurpose.WEBSOCKET, PATH).run()


def test_housekeeping_deletes_ended_tickets_only(db: None) -> None:
    issue_ticket(TicketPurpose.WEBSOCKET, path=PATH)
    Ticket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    token, _ = issue_ticket(TicketPurpose.WEBSOCKET, path=PATH)
    forget_expired()
    assert Ticket.objects.count() == 1
    assert redeem_ticket(token, TicketPurpose.WEBSOCKET, PATH).run()


async def test_of_two_who_redeem_at_once_one_wins(pool: None) -> None:
    token, _ = await in_thread(issue_ticket, TicketPurpose.WEBSOCKET, path=PATH)
    tries = [redeem_ticket(token, TicketPurpose.WEBSOCKET, PATH).arun() for _ in range(5)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) == 4


def test_a_websocket_ticket_is_had_by_any_caller_and_lives_30_seconds(api_for: ApiFor) -> None:
    answer = api_for("runs:read").post("/ws-tickets", {"path": PATH}, format="json")
    assert answer.status_code == 201
    assert set(answer.json()) == {"ticket", "expires_at"}
    left = Ticket.objects.get().expires_at - timezone.now()
    assert timedelta(seconds=25) < left <= timedelta(seconds=30)


@pytest.mark.parametrize("path", ["", "/runs", "/ws/", "/ws/x?key=1", "ws/x", "/ws/" + "x" * 500, None])
def test_a_ticket_is_for_a_websockets_path(api_for: ApiFor, path: str | None) -> None:
    assert api_for("*").post("/ws-tickets", {"path": path}, format="json").status_code == 422


async def test_a_ticket_opens_its_websocket_with_its_makers_rights(pool: None, api_for: ApiFor) -> None:
    api = await in_thread(api_for, "runs:read", user_id="u1")
    made = await in_thread(api.post, "/ws-tickets", {"path": PATH}, format="json")
    identity = await authenticate_websocket({}, [], made.json()["ticket"], PATH)
    assert (identity.actor, identity.scopes, identity.user_id) == ("key:test", {"runs:read"}, "u1")


async def test_a_key_opens_a_websocket_in_a_header_or_a_subprotocol(pool: None, key: str) -> None:
    by_header = await authenticate_websocket({"x-api-key": key}, [], None, PATH)
    by_subprotocol = await authenticate_websocket({}, ["agent-server.v1", f"bearer.{key}"], None, PATH)
    assert by_header == by_subprotocol


async def test_a_cookie_opens_a_websocket_from_this_site_only() -> None:
    headers = {"cookie": "sessionid=1", "host": "here", "origin": "http://there"}
    with pytest.raises(Forbidden):
        await authenticate_websocket(headers, [], None, PATH)


async def test_a_websocket_wants_a_credential() -> None:
    with pytest.raises(Unauthenticated):
        await authenticate_websocket({}, ["agent-server.v1"], None, PATH)
    with pytest.raises(BadRequest):
        await authenticate_websocket({"authorization": "Bearer " + "a" * 20, "x-api-key": "b" * 20}, [], None, PATH)
