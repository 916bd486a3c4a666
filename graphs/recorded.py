"""What a task of a graph ended with, as its checkpoint keeps it."""


class RecordedError(Exception):
    """An exception that a task of a graph ended with, as it is read from its checkpoint: what it was, in words."""

    def __init__(self, kind: str, message: str, shown: str):
        super().__init__(message)
        self.kind, self.message, self.shown = kind, message, shown

    def __repr__(self) -> str:
        return self.shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordedError) and other.shown == self.shown

    def __hash__(self) -> int:
        return hash(self.shown)
