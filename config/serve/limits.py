"""What the kernel lets a process have."""

import resource


def raise_open_files_limit() -> None:
    """Allow this process and its children as many open files as the system gives: a stream is one each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
