"""Runs and threads as LangGraph's clients stream them: server-sent events made of a run's one event log."""
