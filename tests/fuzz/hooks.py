"""What schemathesis makes up is turned towards things that exist, so that it comes further than to a 404.

Loaded by schemathesis itself (`SCHEMATHESIS_HOOKS`). What is changed depends on what was made up alone, so that the
same seed asks the same again.
"""

import json
import os
import re
import zlib
from typing import Any

import schemathesis

# One id of each kind, by the name that it has in paths and bodies.
IDS: dict[str, str] = json.loads(os.environ.get("FUZZ_IDS", "{}"))
ECHO = {"provider": "fake", "model": "echo"}
_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MAX_WAIT_S = 1.0
# A name that never leads anywhere (RFC 6761): nothing is sent to strangers.
NOWHERE = "https://hooks.invalid/"


def often(value: Any, times: int = 4) -> bool:
    """Whether to meddle with `value`: all but one time in so many."""
    return zlib.crc32(repr(value).encode("utf-8", "replace")) % times != 0


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    for name, value in (case.path_parameters or {}).items():
        # What an earlier answer told is left as it is.
        if name in IDS and not _OURS.fullmatch(str(value)) and often(value):
            case.path_parameters[name] = IDS[name]
        elif name == "number" and often(value):
            case.path_parameters[name] = "1"
    if case.query and "wait_s" in case.query and often(case.query["wait_s"], 8):
        case.query["wait_s"] = str(MAX_WAIT_S)
    elif case.path.endswith(("/wait", "/join")):
        case.query = {**(case.query or {}), "wait_s": str(MAX_WAIT_S)}
    if isinstance(case.body, dict):
        _towards_what_exists(case.method, case.path, case.body)
        for run in case.body.get("runs") or () if isinstance(case.body.get("runs"), list) else ():
            if isinstance(run, dict):
                _towards_what_exists(case.method, "/runs", run)


def _towards_what_exists(method: str, path: str, body: dict[str, Any]) -> None:
    for name, identifier in IDS.items():
        if isinstance(body.get(name), str) and often(body[name]):
            body[name] = identifier
    for receiver in (body, body.get("webhook")):
        if isinstance(receiver, dict) and str(receiver.get("url")).startswith("http"):
            receiver["url"] = NOWHERE
    if str(body.get("webhook")).startswith("http"):
        body["webhook"] = NOWHERE
    if isinstance(body.get("llm"), dict) and often(body["llm"]):
        # A model that answers, and no address of strangers.
        body["llm"] = {**{key: body["llm"][key] for key in body["llm"] if key in {"temperature", "max_tokens"}}, **ECHO}
        for name in ("mcp_servers", "skills", "middleware", "knowledge_bases", "tools"):
            if often([name, body.get(name)]):
                body.pop(name, None)
        if often(body.get("type")):
            body.pop("type", None)
    if "/runs" in path and method.upper() == "POST":
        # Else a wait lasts as long as was made up.
        body.pop("after_seconds", None)
        if body.get("wait") is True:
            body["wait"] = False
        if "input" in body and often(body["input"], 3):
            body["input"] = {"message": str(body["input"])[:200] or "Hello"}
