"""Tokens of an issuer: a real one over HTTP, with real keys."""

import asyncio
import hashlib
import hmac
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from channels.testing import WebsocketCommunicator
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts import jwks, oidc
from accounts.authentication import authenticate
from accounts.external import WORKSPACES
from accounts.identity import ROLE_SCOPES, Identity
from accounts.jwks import IssuerKeys, KeysAway
from accounts.models import Role, Workspace
from accounts.oidc import Issuer
from accounts.websocket import authenticate_websocket
from assistants.services import create_assistant
from config.asgi import application
from config.auth import install_authentication
from config.env import BadEnvironment, Environment
from core.errors import AppError, Unauthenticated
from core.url_guard import UrlGuard
from tests.accounts.conftest import in_thread
from tests.api import ECHO, UNKNOWN, assert_refused
from tests.servers import ROOT, free_port
from tests.stubs.issuer import AUDIENCE, EC, KINDS, RSA, IssuerStub, forged, private_jwk, public_jwk


@pytest.fixture(scope="module")
def running() -> Iterator[IssuerStub]:
    with IssuerStub().running() as stub:
        yield stub


Install = Callable[..., Issuer]


@pytest.fixture(autouse=True)
def install(running: IssuerStub) -> Iterator[Install]:
    """Take the issuer's tokens, with these changes to how they are read."""

    def make(jwks_url: str = "", **changes: Any) -> Issuer:
        keys = IssuerKeys(running.url, jwks_url, UrlGuard([running.host]))
        issuer = Issuer(running.url, AUDIENCE, keys, "acme", "", "role", Role.MEMBER, "sub")
        oidc.install(replace(issuer, **changes))
        return issuer

    make()
    yield make
    oidc.install(None)
    WORKSPACES.clear()


@pytest.fixture
def issuer(running: IssuerStub) -> Iterator[IssuerStub]:
    """The issuer, which forgets what a test made of it."""
    documents = dict(running.documents)
    running.asked.clear()
    yield running
    running.documents, running.away = documents, False


def api_of(token: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Bearer {token}"})


def status_of(token: str) -> int:
    return int(api_of(token).get("/sessions").status_code)


async def identity_by(token: str) -> Identity:
    return await authenticate({"authorization": f"Bearer {token}"})


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_good_token_gets_in(issuer: IssuerStub, workspace: Workspace, algorithm: str) -> None:
    assert status_of(issuer.token(algorithm=algorithm)) == 200


async def test_a_member_is_the_user_that_the_token_names(pool: None, issuer: IssuerStub, workspace: Workspace) -> None:
    identity = await identity_by(issuer.token("ada"))
    assert (identity.workspace_id, identity.actor, identity.user_id) == (workspace.id, "oidc:ada", "ada")
    assert identity.scopes == ROLE_SCOPES[Role.MEMBER]


@pytest.mark.parametrize(
    ("held", "role"),
    [
        ("admin", Role.ADMIN),
        (["x", "editor", "member"], Role.EDITOR),
        (["member", "admin"], Role.ADMIN),
        ("operator", Role.OPERATOR),
        ("king", Role.MEMBER),
        (["king"], Role.MEMBER),
        ({"admin": True}, Role.MEMBER),
        ([["admin"]], Role.MEMBER),
        (7, Role.MEMBER),
        (None, Role.MEMBER),
    ],
)
async def test_the_role_is_what_its_claim_holds(
    pool: None, issuer: IssuerStub, workspace: Workspace, held: Any, role: Role
) -> None:
    identity = await identity_by(issuer.token(role=held))
    assert identity.scopes == ROLE_SCOPES[role]
    assert identity.user_id == ("ada" if role == Role.MEMBER else None)


async def test_claims_of_other_names(pool: None, issuer: IssuerStub, workspace: Workspace, install: Install) -> None:
    install(user_claim="email", workspace_claim="team", role_claim="", default_role=Role.EDITOR)
    identity = await identity_by(issuer.token(email="ada@example.com", team="acme", role="admin"))
    assert (identity.actor, identity.scopes) == ("oidc:ada@example.com", ROLE_SCOPES[Role.EDITOR])
    with pytest.raises(Unauthenticated, match="email"):
        await identity_by(issuer.token(team="acme"))
    for team in (None, "", 7, "nowhere", "no\x00where"):
        with pytest.raises(AppError) as refused:
            await identity_by(issuer.token(email="x", team=team))
        assert refused.value.status == 403


PAST, FUTURE = -40, 40
DAMAGED: dict[str, Callable[[IssuerStub], str]] = {
    "another audience": lambda it: it.token(aud="another"),
    "no audience": lambda it: it.token(aud=None),
    "another issuer": lambda it: it.token(iss="https://issuer.example.com"),
    "no issuer": lambda it: it.token(iss=None),
    "expired": lambda it: it.token(exp=int(time.time()) + PAST),
    "without an end": lambda it: it.token(exp=None),
    "an end without end": lambda it: it.token(exp=float("inf")),
    "not valid yet": lambda it: it.token(nbf=int(time.time()) + FUTURE),
    "without a user": lambda it: it.token(sub=None),  # type: ignore[arg-type]
    "a user that is no text": lambda it: it.token(sub={"a": 1}),  # type: ignore[arg-type]
    "a user with a NUL": lambda it: it.token(sub="a\x00b"),
    "a user without end": lambda it: it.token(sub="a" * 256),
    "unsigned": lambda it: it.token(algorithm="none"),
    "unsigned in capitals": lambda it: forged({"alg": "NONE", "kid": "RS256"}),
    "signed with the public key as a secret": lambda it: signed_with_the_public_key(it),
    "a key that is not the issuer's": lambda it: it.token(key=rsa.generate_private_key(65537, 2048)),
    "an unknown key": lambda it: it.token(kid="unknown"),
    "another kind of key": lambda it: it.token(algorithm="ES256", kid="RS256"),
    "another curve": lambda it: it.token(algorithm="ES384", key=ec.generate_private_key(ec.SECP384R1()), kid="ES256"),
    "changed": lambda it: it.token()[:-8] + "AAAAAAAA",
    "without a signature": lambda it: it.token().rpartition(".")[0] + ".",
    "an algorithm that is no text": lambda it: forged({"alg": ["RS256"]}),
    "a key id that is no text": lambda it: forged({"alg": "RS256", "kid": {}}),
    "a header that is no object": lambda it: forged(b"[]"),
    "a header without end": lambda it: forged(b"[" * 11_000),
    "a demand that nobody knows": lambda it: forged({"alg": "RS256", "crit": ["x"], "x": 1}),
    "a detached payload": lambda it: forged({"alg": "RS256", "b64": False, "crit": ["b64"]}, b""),
    "four parts": lambda it: it.token() + ".x",
    "two parts": lambda it: it.token().rpartition(".")[0],
    "dots": lambda it: "..",
    "more than 16 KiB": lambda it: it.token(padding="x" * 16_384),
}


def signed_with_the_public_key(issuer: IssuerStub) -> str:
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = forged({"alg": "HS256", "kid": "RS256"}, b'{"sub": "eve"}', b"").rstrip(".")
    signature = hmac.new(public, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{forged(b'', b'', signature).rpartition('.')[2]}"


@pytest.mark.parametrize("name", DAMAGED)
def test_any_other_token_stays_out(issuer: IssuerStub, workspace: Workspace, name: str) -> None:
    answer = api_of(DAMAGED[name](issuer)).get("/sessions")
    assert_refused(answer, 401, "unauthenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_clocks_may_differ_by_half_a_minute(issuer: IssuerStub, workspace: Workspace) -> None:
    now = int(time.time())
    assert status_of(issuer.token(exp=now - 5, nbf=now + 5, iat=now + 5)) == 200


def test_a_token_without_a_key_id_is_tried_with_all(issuer: IssuerStub, workspace: Workspace) -> None:
    other = public_jwk(rsa.generate_private_key(65537, 2048), "RS256", kid="other")
    issuer.publish(other, public_jwk(RSA, "RS256", kid="mine"))
    assert status_of(issuer.token(kid=None)) == 200


@pytest.mark.parametrize(
    "keys",
    [
        [public_jwk(RSA, "RS256", kid="RS256", use="enc")],
        [public_jwk(RSA, "RS256", kid="RS256", key_ops=["encrypt"])],
        [public_jwk(RSA, "RS256", kid="RS256", alg="ES256")],
        [public_jwk(RSA, "RS256", kid="RS256", alg="RSA-OAEP")],
        [private_jwk(RSA, kid="RS256")],
        [{"kty": "oct", "kid": "RS256", "k": "c2VjcmV0"}],
        [{"kty": "RSA", "kid": "RS256", "n": 7, "e": "AQAB"}, {"kty": "RSA"}, {"kty": []}, 7, None],
    ],
)
def test_only_public_keys_for_signatures_count(
    issuer: IssuerStub, workspace: Workspace, keys: list[Any], install: Install
) -> None:
    issuer.publish(*keys, public_jwk(EC, "ES256", kid="ES256", use="sig", alg="ES256"))
    install()
    assert status_of(issuer.token()) == 401
    assert status_of(issuer.token(algorithm="ES256")) == 200


def test_a_key_is_good_for_its_own_algorithm_only(issuer: IssuerStub, workspace: Workspace, install: Install) -> None:
    issuer.publish(public_jwk(RSA, "RS256", kid="RS256", alg="RS256"))
    install()
    assert status_of(issuer.token()) == 200
    assert status_of(issuer.token(algorithm="PS512", kid="RS256")) == 401


def test_a_short_key_is_not_trusted(issuer: IssuerStub, workspace: Workspace) -> None:
    short = rsa.generate_private_key(65537, 1024)
    issuer.publish(public_jwk(short, "RS256", kid="RS256"), public_jwk(EC, "ES256", kid="ES256"))
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = issuer.token(key=short)
    assert status_of(token) == 401


def test_a_new_key_is_fetched_when_a_token_names_it(
    issuer: IssuerStub, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(issuer.token()) == 200
    fresh = rsa.generate_private_key(65537, 2048)
    issuer.publish(public_jwk(fresh, "RS256", kid="fresh"))
    monkeypatch.setattr(jwks, "PAUSE_S", 0)
    assert status_of(issuer.token(key=fresh, kid="fresh")) == 200
    assert status_of(issuer.token("bob")) == 401  # the old key is not published any more


def test_made_up_key_ids_have_the_keys_fetched_once(issuer: IssuerStub, workspace: Workspace) -> None:
    for number in range(5):
        assert status_of(issuer.token(kid=str(number))) == 401
    assert issuer.asked.count("/keys") == 1


async def test_those_who_come_at_once_wait_for_one_fetch(pool: None, issuer: IssuerStub, workspace: Workspace) -> None:
    tokens = [issuer.token(str(number)) for number in range(8)]
    found = await asyncio.gather(*map(identity_by, tokens))
    assert {identity.user_id for identity in found} == set("01234567")
    assert issuer.asked.count("/keys") == 1


def test_old_keys_are_renewed_without_anybody_waiting(
    issuer: IssuerStub, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    held = install()
    assert status_of(issuer.token()) == 200
    monkeypatch.setattr(jwks, "RENEWED_EVERY_S", 0)
    monkeypatch.setattr(jwks, "PAUSE_S", 0)
    issuer.publish(public_jwk(EC, "ES256", kid="ES256"))
    assert status_of(issuer.token("bob")) == 200
    assert held.keys._fetch
    held.keys._fetch.result(10)
    assert status_of(issuer.token("eve")) == 401


def test_keys_stay_good_while_the_issuer_is_away(
    issuer: IssuerStub, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(issuer.token()) == 200
    issuer.away = True
    monkeypatch.setattr(jwks, "PAUSE_S", 0)
    assert status_of(issuer.token(kid="unknown")) == 401
    assert status_of(issuer.token("bob")) == 200


def test_without_any_key_nobody_can_be_told_apart(issuer: IssuerStub, workspace: Workspace) -> None:
    issuer.away = True
    assert_refused(api_of(issuer.token()).get("/sessions"), 503, "unavailable")


def test_a_known_token_costs_no_query(
    issuer: IssuerStub, workspace: Workspace, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token = oidc.token_in(issuer.token())
    assert token
    token.identify()
    with django_assert_num_queries(0):
        token.identify()


async def test_a_token_that_ends_is_not_remembered(pool: None, issuer: IssuerStub, workspace: Workspace) -> None:
    await identity_by(issuer.token(exp=int(time.time())))
    assert not any(until > time.monotonic() for until, _ in oidc.TOKENS._known.values())


@pytest.fixture
async def web(pool: None, workspace: Workspace) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:
        yield client


async def test_two_users_do_not_see_each_others_sessions(
    web: httpx.AsyncClient, issuer: IssuerStub, workspace: Workspace
) -> None:
    boss = Identity(workspace.id, frozenset("*"), "key:x")
    assistant = await in_thread(create_assistant, boss, {"name": "a", "llm": ECHO})
    ada, bob, lead = (
        {"authorization": f"Bearer {token}"}
        for token in (issuer.token("ada"), issuer.token("bob"), issuer.token("lea", role="admin"))
    )
    made = await web.post(f"/assistants/{assistant.id}/sessions", headers=ada)
    assert (made.status_code, made.json()["user_id"]) == (201, "ada")
    session = made.json()["id"]
    for suffix in ("", "/messages", "/runs"):
        path = f"/sessions/{session}{suffix}"
        statuses = [(await web.get(path, headers=who)).status_code for who in (ada, bob, lead)]
        assert statuses == [200, 404, 200], path
    hello = {"input": {"message": "hi"}}
    stolen = await web.post(f"/sessions/{session}/runs/stream", json=hello, headers=bob)
    assert stolen.status_code == 404
    assert (await closed_with(session, issuer.token("bob"))) == 4404
    identity = await authenticate_websocket({}, [f"bearer.{issuer.token('ada')}"], None, "/ws")
    assert identity.user_id == "ada"


async def closed_with(session: str, token: str) -> int:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    socket = WebsocketCommunicator(application, f"/ws/sessions/{session}", headers=headers)
    await socket.connect()
    return int((await socket.receive_output())["code"])


async def test_a_websocket_wants_a_good_token(web: httpx.AsyncClient, issuer: IssuerStub) -> None:
    assert await closed_with(UNKNOWN, issuer.token()) == 4404
    assert await closed_with(UNKNOWN, issuer.token(aud="another")) == 4401


def test_keys_go_on_working(issuer: IssuerStub, key: str) -> None:
    assert APIClient(headers={"Authorization": f"Bearer {key}"}).get("/sessions").status_code == 200


def test_a_token_and_a_key_are_two_credentials(issuer: IssuerStub, key: str) -> None:
    both = {"Authorization": f"Bearer {issuer.token()}", "X-Api-Key": key}
    assert_refused(APIClient(headers=both).get("/sessions"), 400, "bad_request")


def test_the_header_of_keys_takes_no_tokens(issuer: IssuerStub, workspace: Workspace) -> None:
    assert_refused(APIClient(headers={"X-Api-Key": issuer.token()}).get("/sessions"), 401, "unauthenticated")


def test_without_an_issuer_a_token_is_a_key_that_is_not_valid(issuer: IssuerStub, workspace: Workspace) -> None:
    oidc.install(None)
    assert status_of(issuer.token()) == 401


@pytest.mark.parametrize(
    ("documents", "fault"),
    [
        ({"/.well-known/openid-configuration": None}, "answers with the status 404"),
        ({"/.well-known/openid-configuration": {"issuer": "https://another"}}, "is of the issuer 'https://another'"),
        ({"/.well-known/openid-configuration": b"[" * 100_000}, "does not answer with a JSON object"),
        ({"/keys": {"keys": []}}, "no key that signatures can be checked with"),
        ({"/keys": {"keys": 7}}, "no key that signatures can be checked with"),
        ({"/keys": {"keys": ["x" * 300_000]}}, "longer than 262144 bytes"),
    ],
)
def test_what_an_issuer_should_not_answer(issuer: IssuerStub, documents: Any, fault: str, install: Install) -> None:
    issuer.documents.update(documents)
    with pytest.raises(KeysAway, match=fault):
        install().keys.fetch()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/keys", "http://169.254.169.254/keys", "http://example.com/keys"])
def test_discovery_leads_to_no_internal_host(issuer: IssuerStub, url: str, install: Install) -> None:
    issuer.documents["/.well-known/openid-configuration"] = {"issuer": issuer.url, "jwks_uri": url}
    with pytest.raises(KeysAway, match=r"internal address|must begin with https://"):
        install().keys.fetch()


def test_an_address_of_keys_needs_no_discovery(issuer: IssuerStub, workspace: Workspace, install: Install) -> None:
    install(f"{issuer.url}/keys")
    assert status_of(issuer.token()) == 200
    assert issuer.asked == ["/keys"]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, "AGENT_SERVER_OIDC_AUDIENCE must say"),
        ({"AUDIENCE": "x", "ISSUER": "http://issuer.example.com"}, "ISSUER: .* must begin with https://"),
        ({"AUDIENCE": "x", "ISSUER": "https://10.0.0.1"}, "ISSUER: .*internal address"),
        ({"AUDIENCE": "x", "ISSUER": "issuer.example.com"}, "ISSUER: .*must begin with"),
        ({"AUDIENCE": "x", "JWKS_URL": "http://issuer.example.com/keys"}, "JWKS_URL: .*must begin with https://"),
        ({"AUDIENCE": "x", "DEFAULT_ROLE": "king"}, "DEFAULT_ROLE must be one of"),
        ({"AUDIENCE": "x", "WORKSPACE": "a", "WORKSPACE_CLAIM": "b"}, "not both"),
        ({"ISSUER": "", "AUDIENCE": "x"}, "AGENT_SERVER_OIDC_AUDIENCE means nothing without AGENT_SERVER_OIDC_ISSUER"),
    ],
)
def test_settings_that_cannot_work_end_the_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], fault: str
) -> None:
    for name, value in {"ISSUER": "https://issuer.example.com", **settings}.items():
        monkeypatch.setenv(f"AGENT_SERVER_OIDC_{name}", value)
    with pytest.raises(BadEnvironment, match=fault):
        install_authentication(Environment())


def test_the_least_that_is_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER_OIDC_ISSUER", "https://issuer.example.com")
    monkeypatch.setenv("AGENT_SERVER_OIDC_AUDIENCE", "x")
    install_authentication(Environment())
    told = oidc._Current.issuer
    assert told
    assert (told.workspace, told.default_role, told.user_claim) == ("default", Role.MEMBER, "sub")


def test_web_does_not_start_without_the_keys() -> None:
    program = (
        "import django; django.setup()\n"
        "from config.management.commands import web\n"
        "from django.core.management import call_command\n"
        "web.KEYS_S = 0.1; call_command('web')"
    )
    url = f"http://127.0.0.1:{free_port()}"
    env = {
        "AGENT_SERVER_OIDC_ISSUER": url,
        "AGENT_SERVER_OIDC_AUDIENCE": "x",
        "AGENT_SERVER_URL_ALLOWLIST": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("AGENT_SERVER_OIDC_ISSUER: its keys cannot be had: ")
