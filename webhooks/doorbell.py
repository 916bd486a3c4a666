"""The dispatcher's doorbell. Lost or doubled it does no harm: beat has somebody look every few seconds."""


def ring() -> None:
    """Wake the dispatcher; returns at once. Call it after the commit."""
