"""The browsable API's forms."""

from typing import Any

from rest_framework import serializers


class BodyForm(serializers.Serializer[Any]):
    """What the browsable API's JSON form holds before one types."""

    def __init__(self, content: dict[str, Any]):
        super().__init__()
        self.content = content

    @property
    def data(self) -> Any:
        return dict(self.content)
