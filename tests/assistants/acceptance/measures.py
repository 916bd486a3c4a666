"""What is read off runs that have ended."""

from tests.assistants.acceptance.calls import Document


def most_at_once(runs: list[Document]) -> int:
    """How many of the runs were carried out at the same moment."""
    begins, ends = [(run["started_at"], 1) for run in runs], [(run["finished_at"], -1) for run in runs]
    running, most = 0, 0
    # Of two things at one moment the end comes first.
    for _, change in sorted([*begins, *ends]):
        running += change
        most = max(most, running)
    return most
