"""What a large suite does thousands of times and no test looks at, done quicker. Nothing else is changed by it."""

from typing import Any

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.test import TransactionTestCase
from whitenoise.middleware import WhiteNoiseMiddleware

_KEPT = ["django_migrations", "django_content_type", "auth_permission"]


def be_quick() -> None:
    """Once Django is set up."""
    # The passwords of tests are known to everybody: to hash one need not take a quarter of a second.
    PBKDF2PasswordHasher.iterations = 1
    WhiteNoiseMiddleware.add_files_from_finders = _look_once(WhiteNoiseMiddleware.add_files_from_finders)
    TransactionTestCase._fixture_teardown = lambda self: empty_the_tables()  # type: ignore[method-assign]


def _look_once(look: Any) -> Any:
    """Every test client makes the middleware anew, which looks through all static files; they stay where they are."""
    found: dict[str, dict[str, Any]] = {}

    def look_once(self: Any) -> None:
        if self.static_prefix not in found:
            look(self)
            found[self.static_prefix] = dict(self.files)
        self.files.update(found[self.static_prefix])

    return look_once


def empty_the_tables() -> None:
    """What Django's `flush` does after a test, without making files, types and permissions anew each time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)", [_KEPT])
        every = [f'"{name}"' for (name,) in cursor.fetchall()]
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in every))
        if filled := [name for (name,) in cursor.fetchall()]:
            # No trigger refuses it, and none is needed to take along what belongs to a row: all of them go.
            emptied = " ".join(f"DELETE FROM {name};" for name in filled)
            cursor.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {emptied} COMMIT")
            # So that the next test's rows lie in the order in which they come.
            cursor.execute(f"VACUUM {', '.join(filled)}")
