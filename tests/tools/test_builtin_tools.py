import json
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from runtime.configuration import RuntimeSettings, configure, current
from tests.tools.use import use
from tools import Tool, registry


class TellingServer:
    """Answers what it was asked, as JSON."""

    def __init__(self) -> None:
        import threading
        from http.server import ThreadingHTTPServer

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                told = {
                    "method": self.command,
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": self.rfile.read(length).decode(),
                }
                body = json.dumps(told).encode()
                self.send_response(418)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def telling() -> Any:
    before = current()
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",)))
    told = TellingServer()
    yield told
    told.server.shutdown()
    told.server.server_close()
    configure(before)


async def test_the_calculator_answers_in_text() -> None:
    assert (await use("calculator", {"expression": "6 * 7"})).result == "42"


async def test_a_fault_is_told_to_the_model() -> None:
    assert (await use("calculator", {"expression": "1 / 0"})).error == "Division by zero."


async def test_the_time_in_a_zone() -> None:
    told = (await use("current_time", {"timezone": "Asia/Kolkata"})).result
    assert datetime.fromisoformat(told["time"]).utcoffset().total_seconds() == 5.5 * 3600  # type: ignore[union-attr]
    assert told["weekday"].endswith("day")


async def test_the_assistants_own_zone_is_the_default() -> None:
    assert (await use("current_time", {}, timezone="Europe/Berlin")).result["timezone"] == "Europe/Berlin"
    assert (await use("current_time", {})).result["timezone"] == "UTC"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "Europe", "\x00"])
async def test_an_unknown_zone_is_told(zone: str) -> None:
    record = await use("current_time", {"timezone": zone}, timezone="UTC")
    assert record.status == ("ok" if zone == "" else "error")


async def test_a_request_and_its_answer(telling: Any) -> None:
    args = {"method": "POST", "url": f"{telling.url}/a?b=c", "headers": {"X-Mine": "1"}, "body": {"x": 1}}
    result = (await use("http_request", args)).result
    assert result["status"] == 418
    told = json.loads(result["body"])
    assert (told["method"], told["path"], told["body"]) == ("POST", "/a?b=c", '{"x": 1}')
    assert told["headers"]["x-mine"] == "1"
    assert told["headers"]["content-type"] == "application/json"


async def test_a_get_is_the_default(telling: Any) -> None:
    told = json.loads((await use("http_request", {"url": telling.url})).result["body"])
    assert told["method"] == "GET"


async def test_the_host_is_not_the_models_to_set(telling: Any) -> None:
    args = {"url": telling.url, "headers": {"Host": "internal", "Content-Length": "9"}}
    told = json.loads((await use("http_request", args)).result["body"])
    assert told["headers"]["host"].startswith("127.0.0.1")


async def test_headers_cannot_smuggle_a_line(telling: Any) -> None:
    record = await use("http_request", {"url": telling.url, "headers": {"x": "1\r\nx-evil: 1"}})
    assert record.status == "error"


async def test_internal_addresses_are_refused() -> None:
    record = await use("http_request", {"url": "http://169.254.169.254/latest/meta-data/"})
    assert record.error == "The server does not connect to the internal address 169.254.169.254."


async def test_other_methods_are_refused(telling: Any) -> None:
    record = await use("http_request", {"url": telling.url, "method": "DELETE"}, allowed_methods=["GET"])
    assert record.error == "The method DELETE is not allowed here."


async def test_a_long_answer_is_refused(telling: Any) -> None:
    record = await use("http_request", {"url": telling.url}, max_bytes=10)
    assert record.error == "The answer is longer than 10 bytes."


async def test_nobody_there_is_told() -> None:
    assert "failed" in str((await use("http_request", {"url": "http://nobody.invalid/"})).error)


def test_the_registry_lists_what_comes_with_the_server() -> None:
    assert {"calculator", "current_time", "http_request"} <= set(registry.names())
    [document] = [entry for entry in registry.documents() if entry["name"] == "http_request"]
    assert set(document["args_schema"]["properties"]) == {"method", "url", "headers", "body"}
    assert set(document["parameters_schema"]["properties"]) == {"timeout_s", "max_bytes", "allowed_methods"}


def test_an_unknown_tool_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="no tool 'nothing'"):
        registry.get("nothing")


def test_a_taken_name_is_refused() -> None:
    class Impostor(Tool):
        name = "calculator"
        description = "Not the real one."

    with pytest.raises(ValueError, match="registered already"):
        registry.register(Impostor())
