"""Secrets of a workspace, through the whole server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from secrets import token_hex
from typing import Any
from uuid import uuid4

import pytest
import redis

from tests.runs.conftest import make_session
from tests.servers import KEY, Server, wait_for
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

pytestmark = pytest.mark.servers
HELLO = {"input": {"message": "hi"}}


def put(server: Server, name: str, value: str, stub: ModelStub) -> None:
    answer = server.client.put(f"/secrets/{name}", json={"value": value, "hosts": [stub.address]})
    assert answer.is_success, answer.text


def run(server: Server, session: str) -> dict[str, Any]:
    answer = server.client.post(f"/sessions/{session}/runs/wait", json=HELLO)
    found: dict[str, Any] = answer.json()
    return found


def test_a_changed_secret_counts_from_the_next_run_on(server: Server) -> None:
    name = f"models-{uuid4()}"
    with openai_stub(Reply("fine")) as stub:
        put(server, name, "the-first-key", stub)
        llm = {"provider": "openai", "model": "m", "base_url": f"http://{stub.address}/v1"}
        session = make_session(server, llm={**llm, "api_key_env": f"secret:{name}"})
        assert run(server, session)["status"] == "success"
        put(server, name, "the-second-key", stub)
        assert run(server, session)["status"] == "success"
        server.client.delete(f"/secrets/{name}")
        ended = run(server, session)
        sent = [asked.headers["authorization"] for asked in stub.asked]
    assert sent == ["Bearer the-first-key", "Bearer the-second-key"]
    assert (ended["status"], ended["error"]["code"]) == ("error", "missing_secret")
    assert ended["error"]["message"] == f"The workspace has no secret '{name}'."


# -- nowhere ---------------------------------------------------------------------------------------------------------


@contextmanager
def echoing(status: int) -> Iterator[str]:
    """The URL of a server that answers with the Authorization header that it was sent."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(f"You are {self.headers['authorization']}".encode())

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def stored(server: Server) -> Iterator[str]:
    """All that PostgreSQL and Redis hold, as text."""
    for (table,) in server.sql("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"):
        for (row,) in server.sql(f"SELECT t::text FROM {table} t"):
            yield row
    client = redis.Redis.from_url((server.data_dir / "redis.url").read_text().strip())
    read = {
        b"stream": client.xrange,
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    for key in client.scan_iter():
        if (kind := client.type(key)) != b"none":
            yield f"{key!r} {read[kind](key)!r}"
    client.close()


def leaky(server: Server, stub: ModelStub) -> tuple[str, str]:
    """A session with an agent that tells its secret, and the secret."""
    name, value = f"models-{uuid4()}", f"k/{token_hex(16)}"
    put(server, name, value, stub)
    llm = {"provider": "openai", "model": "m", "base_url": f"http://{stub.address}/v1"}
    return make_session(server, type="Leaky", llm={**llm, "api_key_env": f"secret:{name}"}), value


def streamed(server: Server, session: str, word: str) -> str:
    """What a client hears of a run, whole."""
    body = {"input": {"message": word}}
    return str(server.client.post(f"/sessions/{session}/runs/stream", json=body).text)


@pytest.mark.parametrize("word", ["raise", "refuse", "ask", "keep", "log"])
def test_what_an_agent_tells_of_its_secret_is_nowhere(server: Server, word: str) -> None:
    with openai_stub(Reply("fine")) as stub:
        session, value = leaky(server, stub)
        heard = streamed(server, session, word)
    assert_nowhere(server, value, heard)
    assert ("[secret:models-" in heard) is (word != "log")
    if word == "log":
        line = wait_for(lambda: next((line for line in server.lines if "Logged: The key is [secret:" in line), None))
        assert "Basic" in line
        assert "not-known" not in server.output


@pytest.mark.parametrize("status", [200, 403])
def test_a_tool_servers_echo_is_shown_to_nobody(server: Server, status: int) -> None:
    with echoing(status) as url:
        call = ("call-1", "log_in", f'{{"url": "{url}"}}')
        with openai_stub(Reply(tool_calls=[call]), Reply("done")) as stub:
            session, value = leaky(server, stub)
            heard = streamed(server, session, "log in")
            shown = stub.asked[1].body["messages"][-1]
    assert shown["role"] == "tool"
    assert "You are Bearer [secret:" in shown["content"]
    assert heard.count("You are Bearer [secret:") >= 3
    assert_nowhere(server, value, heard)


def test_a_providers_refusal_is_told_without_the_key(server: Server) -> None:
    with openai_stub(Reply("fine")) as stub:
        session, value = leaky(server, stub)
        # Where the text is cut, a part of the key would be left.
        stub.replies = [Reply(status=401, message=f"bad key {value}, {'.' * 545} {value}")]
        heard = streamed(server, session, "hi")
    assert "openai answered 401: bad key [secret:models-" in heard
    assert value[:12] not in heard
    assert_nowhere(server, value, heard)


def test_the_servers_own_keys_are_told_to_nobody(server: Server) -> None:
    with openai_stub(Reply("fine")) as stub:
        heard = streamed(server, leaky(server, stub)[0], "raise ours")
    assert "The key is [AGENT_SERVER_BOOTSTRAP_KEY]." in heard
    assert not any(KEY in text for text in stored(server))


def assert_nowhere(server: Server, value: str, heard: str) -> None:
    forms = (value, value.replace("/", "%2F"), value.encode().hex())
    for text in (heard, server.output, *stored(server)):
        assert not any(form in text for form in forms), text[:2_000]
