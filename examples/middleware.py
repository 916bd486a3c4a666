"""What an application knows of its user, for the model: given with a session or a run, and told while it works.

curl $URL/sessions/$SESSION/middleware/user_context/notify -d '{"message": {"page": "/invoices/7"}}' ...
"""

from runtime.contract import Json
from runtime.middleware import register_middleware
from runtime.middleware.base import Middleware, Turn
from runtime.values import Values


@register_middleware
class UserContext(Middleware):
    """Tells the model what is known of the user: `user` in the metadata of the session or the run, and messages."""

    name = "user_context"

    def prompt(self, turn: Turn) -> str:
        known = {**turn.io.metadata.get("user", {}), **turn.values.get(self.id, {})}
        lines = [f"- {name}: {value}" for name, value in sorted(known.items())]
        return "\n".join(["What is known of the user:", *lines]) if lines else ""

    def handle_message(self, message: Json, values: Values) -> None:
        values[self.id] = {**values.get(self.id, {}), **message}
