"""The tools that come with the server, one folder each."""
