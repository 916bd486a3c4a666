"""The `Auth` that docs/langgraph.md shows does what the page says."""

from typing import Any

from protocols.langgraph import auth as door_auth
from tests.docs.test_examples import ROOT, blocks


async def test_the_handlers_of_the_page_scope_what_a_user_sees() -> None:
    (page,) = [block for block in blocks(ROOT / "docs" / "langgraph.md", "python") if "Auth()" in block]
    names: dict[str, Any] = {}
    exec(page, names)
    door_auth.install(names["auth"])
    try:
        value: dict[str, Any] = {"namespace": None}
        assert await door_auth.ask(door_auth.user_of("ann", ["chat"]), "store", "search", value) == {}
        assert value == {"namespace": ("ann",)}
        created: dict[str, Any] = {}
        assert await door_auth.ask(door_auth.user_of("ann", []), "threads", "create", created) == {"owner": "ann"}
        assert created == {"metadata": {"owner": "ann"}}
    finally:
        door_auth.install(None)
