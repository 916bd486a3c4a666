"""`manage.py serve`: embedded PostgreSQL and Redis, and a supervisor over web, workers and beat.

The supervisor itself holds no connection to them: it starts processes, watches them, and takes them down.
"""
