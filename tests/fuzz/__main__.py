"""`make fuzz`: schemathesis makes requests up from `/openapi.json` and sends them to a whole server.

FUZZ_SECONDS (600) bounds it; FUZZ_EXAMPLES instead makes so many requests for each operation, the same each time.
It ends with 1 where an answer was no documented one, or where the server failed.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.hooks import NOWHERE
from tests.servers import ROOT, Server

# What is refused, and what is taken, is `tests/bad_input`'s; here any documented answer is a good one.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
REQUEST_S = 20
START_S = 300
PROGRAM = Path(sys.executable).parent / "schemathesis"


def command(url: str, key: str) -> list[str]:
    """How it is called."""
    examples = os.environ.get("FUZZ_EXAMPLES")
    seconds = os.environ.get("FUZZ_SECONDS", "600")
    if examples:
        extent = ["--max-examples", examples, "--generation-deterministic"]
    else:
        extent = ["--max-time", seconds, "--continue-on-failure", "--generation-database", "none"]
    return [
        str(PROGRAM),
        "run",
        f"{url}/openapi.json",
        "--checks",
        ",".join(CHECKS),
        "--header",
        f"X-Api-Key: {key}",
        "--generation-with-security-parameters",
        "false",
        "--request-timeout",
        str(REQUEST_S),
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
        *extent,
        *sys.argv[1:],
    ]


def some_ids(server: Server) -> dict[str, str]:
    """One of each kind."""

    def post(path: str, body: object) -> str:
        answer = server.client.post(path, json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    assistant = post("/assistants", {"name": "Fuzz", "llm": {"provider": "fake", "model": "echo"}})
    session = post(f"/assistants/{assistant}/sessions", {})
    run = post(f"/sessions/{session}/runs/wait", {"input": {"message": "Hello"}})
    checkpoints = server.client.get(f"/sessions/{session}/checkpoints").json()["items"]
    hourly = {"name": "Fuzz", "cron": "0 * * * *", "input": {"message": "Hello"}}
    schedule = post(f"/assistants/{assistant}/schedules", hourly)
    trigger = post(f"/assistants/{assistant}/triggers", {"name": "Fuzz"})
    key = post("/api-keys", {"name": "Fuzz", "scopes": ["runs:read"]})
    webhook = post("/webhooks", {"name": "Fuzz", "url": NOWHERE, "events": ["queue.stuck"]})
    return {
        "assistant_id": assistant,
        "session_id": session,
        "run_id": run,
        "checkpoint_id": checkpoints[0]["id"],
        "schedule_id": schedule,
        "trigger_id": trigger,
        "api_key_id": key,
        "webhook_id": webhook,
        "delivery_id": post(f"/webhooks/{webhook}/test", {}),
    }


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="agent-server-fuzz-") as folder:
        server = Server(Path(folder), AGENT_SERVER_AGENTS="tests.stubs.agents", AGENT_SERVER_WORKERS="1")
        try:
            return fuzz(server.start(timeout_s=START_S), folder)
        finally:
            server.end()


def fuzz(server: Server, folder: str) -> int:
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "PYTHONPATH": str(ROOT),
        "FUZZ_IDS": json.dumps(some_ids(server)),
    }
    done = subprocess.run(command(server.url, server.key), env=env, cwd=folder, check=False)
    traces = [line for line in server.lines if "Traceback" in line or "Unhandled" in line]
    if done.returncode or traces:
        sys.stderr.write(f"{server.output[-20_000:]}\n")
    return 1 if traces else done.returncode


if __name__ == "__main__":
    sys.exit(main())
