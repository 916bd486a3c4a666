"""The few lines that a person needs to begin."""

from collections.abc import Mapping


def base_url(host: str, port: int) -> str:
    """Where a browser on this machine finds the server."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def announcement(url: str, credentials: Mapping[str, str | None]) -> list[str]:
    """The block of lines; `credentials` as `config.bootstrap.bootstrap` gives them."""
    password = credentials["admin_password"] or "the one that you have set"
    return [
        "",
        f"  Agent Server is ready at {url}",
        "",
        f"  Sign in   {url}{credentials['sign_in_path']}  (works once)",
        f"  Console   {url}/console/",
        f"  API docs  {url}/docs/",
        f"  Admin     {url}/admin/  (user {credentials['admin_user']}, password {password})",
        f"  API key   {credentials['api_key']}",
        "",
        "  Ctrl-C stops everything.",
        "",
    ]
