"""The assistants as their users meet them: over HTTP, on a whole server."""
