"""Version 2 of the protocol: commands to a thread, and one stream of numbered events with channels and namespaces.

The SDKs call it `client.threads.stream(...)`. Its shapes are those of the package `langchain-protocol` (MIT), what the
server does with them is as LangGraph's own server was seen to do.
"""
