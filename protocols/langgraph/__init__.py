"""LangGraph's server protocol under `/langgraph`: a translation onto the services and rows of the native API."""
