"""`/store`: the documents of `memory`, as `langgraph_sdk`'s StoreClient reads and writes them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from core.errors import Invalid
from core.hot import HotRequest, HotResponse, Router
from core.validation import Body
from memory.documents import item_document
from memory.items import Listing, Put, Search, check_labels
from memory.services import delete_items, get_items, list_namespaces, owner_of, put_items, search_items
from protocols.langgraph.access import allow
from protocols.langgraph.deployment import store_ttl
from protocols.langgraph.reading import body_of

MAX_LIMIT = 1_000

router = Router()

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Offset = Annotated[int, Field(ge=0, le=2**31)]


class PutItem(Body):
    """A document. `ttl` is in minutes; null is for good, and without it langgraph.json's `store.ttl` says so."""

    namespace: list[str]
    key: str
    value: dict[str, Any]
    index: Literal[False] | list[str] | None = None
    ttl: float | None = None


class DeleteItem(Body):
    """The name of a document."""

    namespace: list[str] = []
    key: str


class SearchItems(Body):
    """What is looked for. Without an index a `query` finds everything, as it does in LangGraph."""

    namespace_prefix: list[str] | None = None
    filter: dict[str, Any] | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: str | None = None
    refresh_ttl: bool | None = None


class ListNamespaces(Body):
    """Which namespaces are listed."""

    prefix: list[str] | None = None
    suffix: list[str] | None = None
    max_depth: Annotated[int, Field(ge=1)] | None = None
    limit: Limit = 100
    offset: Offset = 0


@router.route("PUT", "/store/items", "memory:write", body=PutItem)
async def put_item(request: HotRequest) -> HotResponse:
    """Write a document in the place of the one that has its name."""
    body = body_of(request, PutItem)
    if isinstance(body.index, list):
        raise Invalid("index: this server has no index; leave it out, or give false.")
    ttl = body.ttl if "ttl" in body.model_fields_set else store_ttl().default_minutes
    asked: dict[str, Any] = {
        "namespace": tuple(body.namespace),
        "key": body.key,
        "value": body.value,
        "index": body.index,
        "ttl": ttl,
    }
    await allow(request, "store", "put", asked)
    item = Put(asked["namespace"], asked["key"], asked["value"], asked["ttl"])
    await put_items(owner_of(request.identity), [item]).arun()
    return HotResponse(None, 204)


@router.route("GET", "/store/items", "memory:read")
async def get_item(request: HotRequest) -> HotResponse:
    """A document, null where there is none. The labels of the namespace are joined by periods."""
    request.only_query("namespace", "key", "refresh_ttl")
    if "key" not in request.query:
        return HotResponse({"error": "Key is required"}, 400)
    namespace = tuple(request.query.get("namespace", "").split("."))
    refresh = _refresh(request.query.get("refresh_ttl"))
    asked: dict[str, Any] = {"namespace": namespace, "key": request.query["key"], "refresh_ttl": refresh}
    check_labels(namespace)
    await allow(request, "store", "get", asked)
    name = tuple(asked["namespace"]), asked["key"]
    found = await get_items(owner_of(request.identity), [name], refresh_ttl=_refreshes(asked["refresh_ttl"])).arun()
    return HotResponse(item_document(found[name]) if found else None)


@router.route("DELETE", "/store/items", "memory:write", body=DeleteItem)
async def delete_item(request: HotRequest) -> HotResponse:
    """Delete a document; again without effect."""
    body = body_of(request, DeleteItem)
    check_labels(body.namespace)
    asked: dict[str, Any] = {"namespace": tuple(body.namespace), "key": body.key}
    await allow(request, "store", "delete", asked)
    await delete_items(owner_of(request.identity), [(asked["namespace"], asked["key"])]).arun()
    return HotResponse(None, 204)


@router.route("POST", "/store/items/search", "memory:read", body=SearchItems)
async def search(request: HotRequest) -> HotResponse:
    """Documents whose namespace begins with a prefix, those changed last first."""
    body = body_of(request, SearchItems)
    asked: dict[str, Any] = {
        **body.model_dump(exclude={"namespace_prefix"}),
        "namespace": tuple(body.namespace_prefix or ()),
    }
    await allow(request, "store", "search", asked)
    found = await search_items(
        owner_of(request.identity),
        Search(
            prefix=asked["namespace"],
            filter=asked["filter"] or {},
            limit=asked["limit"],
            offset=asked["offset"],
            refresh_ttl=_refreshes(asked["refresh_ttl"]),
        ),
    ).arun()
    return HotResponse({"items": [{**item_document(row), "score": None} for row in found]})


@router.route("POST", "/store/namespaces", "memory:read", body=ListNamespaces)
async def namespaces(request: HotRequest) -> HotResponse:
    """The namespaces that have documents."""
    body = body_of(request, ListNamespaces)
    # A handler that finds no prefix puts its own there.
    prefix = None if body.prefix is None else tuple(body.prefix)
    asked: dict[str, Any] = {**body.model_dump(exclude={"prefix"}), "namespace": prefix}
    await allow(request, "store", "list_namespaces", asked)
    listing = Listing(
        prefix=asked["namespace"] or (),
        suffix=asked["suffix"] or (),
        max_depth=asked["max_depth"],
        limit=asked["limit"],
        offset=asked["offset"],
    )
    return HotResponse({"namespaces": await list_namespaces(owner_of(request.identity), listing).arun()})


def _refresh(text: str | None) -> bool | None:
    known = {None: None, "true": True, "false": False, "True": True, "False": False}
    if text not in known:
        raise Invalid.at("query", "refresh_ttl", message="true or false.")
    return known[text]


def _refreshes(asked: bool | None) -> bool:
    return store_ttl().refresh_on_read if asked is None else asked
