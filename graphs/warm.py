"""Where hosted graphs stood when runs of theirs ended in this worker: what the next run of the thread need not read.

What is warm counts only where the database names the same checkpoint (`runtime.contract.State.graph_head`): another
worker, or a client, may have carried the thread on.
"""

from collections import OrderedDict

from runtime.graph_rows import GraphRows
from sessions.graph_queries import CheckpointKey, GraphPage, ValueKey

MAX_WARM = 256
# Of their lists as JSON; the objects that it is read into take several times as much.
MAX_WARM_BYTES = 8_388_608
# The graph itself, not a subgraph.
_ROOT = ""


class Head:
    """The latest checkpoint of a run's graph and what it names, as far as the run has read and written that."""

    def __init__(self) -> None:
        self._page = GraphPage()
        self._is_known = False

    def read(self, page: GraphPage) -> None:
        """This was read: the latest checkpoint, if there is one, with all that there is of it."""
        self._page.checkpoints = dict(page.checkpoints)
        self._page.values |= page.values
        self._is_known = True

    def put(self, rows: GraphRows) -> None:
        """This was written after it."""
        for row in rows.checkpoints:
            if row["namespace"] == _ROOT:
                # Where it goes on from another one, what that names was not read.
                self._is_known &= self._latest in (row["parent_id"], row["checkpoint_id"])
                self._page.checkpoints = {(_ROOT, row["checkpoint_id"]): row}
        for value in rows.values:
            if value["namespace"] == _ROOT:
                self._page.values[_ROOT, value["channel"], value["version"]] = value["value"], value["base"]

    @property
    def _latest(self) -> str | None:
        return next((checkpoint_id for _, checkpoint_id in self._page.checkpoints), None)

    def page(self) -> GraphPage | None:
        """The checkpoint and what it names, as `sessions.graph_queries.read_graph` would give it."""
        if not self._is_known or not self._page.checkpoints:
            return None
        ((at, row),) = self._page.checkpoints.items()
        values: dict[ValueKey, tuple[object, str | None]] = {}
        for channel, named in row["document"]["channel_versions"].items():
            version: str | None = str(named)
            while version is not None and (held := self._page.values.get((_ROOT, channel, version))) is not None:
                values[_ROOT, channel, version] = held
                version = held[1]
        return GraphPage({at: row}, values)


class Heads:
    """The warm checkpoints of a worker by session, least recently used first."""

    def __init__(self) -> None:
        self._warm: OrderedDict[str, tuple[GraphPage, int]] = OrderedDict()
        self._bytes = 0

    def keep(self, session_id: str, page: GraphPage, size: int) -> None:
        """Keep where the session's graph stands, which takes about `size` bytes."""
        self._let_go(session_id)
        self._warm[session_id] = page, size
        self._bytes += size
        while len(self._warm) > MAX_WARM or (self._bytes > MAX_WARM_BYTES and len(self._warm) > 1):
            self._let_go(next(iter(self._warm)))

    def take(self, session_id: str, checkpoint_id: str | None) -> GraphPage | None:
        """The session's, if that is this checkpoint; it is not warm from then on."""
        page = self._let_go(session_id)
        if page is None or checkpoint_id is None or _key(checkpoint_id) not in page.checkpoints:
            return None
        return page

    def _let_go(self, session_id: str) -> GraphPage | None:
        if (held := self._warm.pop(session_id, None)) is None:
            return None
        self._bytes -= held[1]
        return held[0]


def _key(checkpoint_id: str) -> CheckpointKey:
    return _ROOT, checkpoint_id


heads = Heads()
