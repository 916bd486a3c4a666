"""The tool `web_search`, with search engines that speak the real protocols."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from runtime.configuration import RuntimeSettings, configure, current
from runtime.secrets import Secret
from tests.stubs.search import KEY, SearchStub
from tests.tools.use import problems, use

SECRETS = {"tavily": Secret(KEY, ("127.0.0.1",))}


@pytest.fixture(scope="module")
def running() -> Iterator[SearchStub]:
    with SearchStub() as stub:
        yield stub


@pytest.fixture
def engine(running: SearchStub) -> Iterator[SearchStub]:
    before = current()
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",)))
    running.asked.clear()
    yield running
    configure(before)


async def searxng(engine: SearchStub, query: str, wanted: int | None = None, **parameters: Any) -> Any:
    args = {"query": query, **({"max_results": wanted} if wanted else {})}
    return await use("web_search", args, provider="searxng", base_url=engine.url, **parameters)


async def tavily(engine: SearchStub, query: str, **parameters: Any) -> Any:
    given = {"provider": "tavily", "base_url": engine.url, "api_key_env": "secret:tavily", **parameters}
    return await use("web_search", {"query": query}, secrets=SECRETS, **given)


async def test_searxng_finds(engine: SearchStub) -> None:
    found = (await searxng(engine, "what is & why?")).result
    assert found[0] == {"title": "Page 1", "url": "https://example.com/1", "snippet": "About 1."}
    assert engine.body == {"q": "what is & why?", "format": "json"}


async def test_tavily_finds_with_its_key(engine: SearchStub) -> None:
    found = (await tavily(engine, "agents")).result
    assert [page["url"] for page in found] == [f"https://example.com/{n}" for n in range(1, 6)]
    assert engine.body == {"query": "agents", "max_results": 5}
    assert engine.asked[-1].path == "/search"


@pytest.mark.parametrize(("wanted", "given"), [(None, 3), (2, 2), (20, 3), (10**9, 3)])
async def test_the_model_gets_no_more_than_the_parameters_allow(
    engine: SearchStub, wanted: int | None, given: int
) -> None:
    assert len((await searxng(engine, "x", wanted, max_results=3)).result) == given


async def test_tavily_is_not_asked_for_more_either(engine: SearchStub) -> None:
    assert len((await tavily(engine, "x", max_results=2)).result) == 2
    assert engine.body["max_results"] == 2


@pytest.mark.parametrize(("safe", "searxngs"), [(True, "2"), (False, "0")])
async def test_safe_search_reaches_the_engine(engine: SearchStub, safe: bool, searxngs: str) -> None:
    await searxng(engine, "x", safe_search=safe)
    assert engine.body["safesearch"] == searxngs
    await tavily(engine, "x", safe_search=safe)
    assert engine.body["safe_search"] is safe


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("fail 403", "searxng answered 403: its settings must list json under search.formats."),
        ("fail 500", "searxng answered 500."),
        ("html", "searxng gave no JSON object."),
    ],
)
async def test_what_fails_is_told_to_the_model(engine: SearchStub, query: str, told: str) -> None:
    assert (await searxng(engine, query)).error == told


async def test_an_engine_that_hangs_is_left_alone(engine: SearchStub) -> None:
    assert (await searxng(engine, "hang", timeout_s=0.05)).error == "searxng did not answer within 0.05 seconds."


async def test_a_used_up_plan_is_told(engine: SearchStub) -> None:
    assert (await tavily(engine, "fail 432")).error == "tavily answered 432: the plan's searches are used up."


async def test_a_wrong_key_is_told_without_it(engine: SearchStub) -> None:
    wrong = {"tavily": replace(SECRETS["tavily"], value="tvly-wrong-one")}
    record = await use(
        "web_search",
        {"query": "x"},
        secrets=wrong,
        provider="tavily",
        base_url=engine.url,
        api_key_env="secret:tavily",
    )
    assert record.error == "tavily answered 401: the key is not valid."


async def test_internal_addresses_are_refused() -> None:
    record = await use("web_search", {"query": "x"}, provider="searxng", base_url="http://169.254.169.254")
    assert record.error == "The server does not connect to the internal address 169.254.169.254."


@pytest.mark.parametrize(
    ("parameters", "missing"),
    [
        ({}, "The parameter provider is missing: searxng or tavily."),
        ({"provider": "searxng"}, "The parameter base_url is missing: where searxng is."),
        (
            {"provider": "searxng", "base_url": "http://10.0.0.1"},
            "The server does not connect to the internal address 10.0.0.1.",
        ),
        ({"provider": "tavily"}, "The parameter api_key_env is missing: what holds tavily's key."),
        ({"provider": "tavily", "api_key_env": "secret:gone"}, "The workspace has no secret 'gone'."),
        ({"provider": "tavily", "api_key_env": "secret:tavily"}, "The secret 'tavily' is not sent to api.tavily.com."),
        (
            {"provider": "tavily", "api_key_env": "TAVILY_API_KEY"},
            "TAVILY_API_KEY may not be named: it must begin with one of OPENAI_, ANTHROPIC_, MCP_, AGENT_SECRET_.",
        ),
    ],
)
def test_what_is_missing_is_said(parameters: dict[str, Any], missing: str) -> None:
    assert problems("web_search", secrets=SECRETS, **parameters) == [missing]


def test_what_is_complete_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_TAVILY", KEY)
    assert problems("web_search", provider="tavily", api_key_env="AGENT_SECRET_TAVILY") == []
    assert problems("web_search", provider="searxng", base_url="https://search.example.com") == []
