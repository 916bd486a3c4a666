"""What pydantic found, in a line."""

from pydantic import ValidationError

from core.text import sentence


def faults_of(error: ValidationError) -> str:
    """Each fault with its place."""
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, fault["loc"])), sentence(fault["msg"]).rstrip(".")]))
        for fault in error.errors(include_url=False, include_input=False)
    )
