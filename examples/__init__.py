"""Agents to begin one of your own from: `AGENT_SERVER_AGENTS=examples.approval,examples.functional,...` loads them."""
