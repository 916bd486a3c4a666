"""What a graph takes and gives as JSON Schemas, and its drawing, in the shapes of LangGraph's server protocol.

Imports langgraph: imported on first use only.
"""

from collections.abc import Callable
from typing import Any

# As langgraph describes its input and output: it knows names that pydantic refuses.
from langgraph._internal._pydantic import create_model
from langgraph.channels.base import BaseChannel
from langgraph.pregel import Pregel
from pydantic import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

Schema = dict[str, Any]
Graph = Pregel[Any, Any, Any, Any]
# A type that pydantic cannot describe: to the protocol such a schema is null.
_INDESCRIBABLE = (PydanticUserError, PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, TypeError, NameError)


def schemas_of(graph: Graph) -> dict[str, Schema | None]:
    """The schemas of input, output, state, config and context; None for one that cannot be described."""
    context = _described(graph.get_context_jsonschema)
    return {
        "input_schema": _described(graph.get_input_jsonschema),
        "output_schema": _described(graph.get_output_jsonschema),
        "state_schema": _described(lambda: _state_schema(graph)),
        # What was the config's `configurable` is the context by now, and both are one.
        "config_schema": context or {},
        "context_schema": context,
    }


async def drawing_of(graph: Graph, xray: int | bool) -> dict[str, list[Schema]]:
    """Nodes and edges; `xray`: with those of subgraphs in their place, down to this depth or to all."""
    drawn = (await graph.aget_graph(xray=xray)).to_json()
    for node in drawn.get("nodes", []):
        if isinstance(data := node.get("data"), dict):
            # Which class of langgraph a node is concerns nobody.
            data.pop("id", None)
    return drawn


async def subgraphs_of(graph: Graph, namespace: str | None, *, recurse: bool) -> dict[str, dict[str, Schema | None]]:
    """The schemas of the subgraphs by their place ("outer|inner"); of one place, if `namespace` names it."""
    found: Any = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
    return {name: schemas_of(each) async for name, each in found}


def _described(describe: Callable[[], Schema | None]) -> Schema | None:
    try:
        return describe()
    except _INDESCRIBABLE:
        return None


def _state_schema(graph: Graph) -> Schema:
    """All channels that a reader of the state sees; none of them need be there."""
    channels = {name: graph.channels[name] for name in graph.stream_channels_list}
    fields = {name: (each.UpdateType, None) for name, each in channels.items() if isinstance(each, BaseChannel)}
    return create_model(f"{graph.get_name()}_state", field_definitions=fields).model_json_schema()
