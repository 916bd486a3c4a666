"""The receiver that the documentation shows takes what the server signs, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.docs.test_examples import ROOT, blocks
from webhooks.dispatch.headers import headers_of
from webhooks.signing import new_secret

Check = Callable[[str, bytes, dict[str, str]], bool]
BODY = '{"type": "test"}'


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def is_genuine() -> Check:
    (program,) = blocks(ROOT / "docs" / "webhooks.md", "python")
    names: dict[str, Check] = {}
    exec(program, names)
    return names["is_genuine"]


def test_it_takes_what_either_secret_signs(is_genuine: Check, now: datetime) -> None:
    secret, former = new_secret(), new_secret()
    headers = headers_of("id", BODY, now, [secret, former], {})
    assert is_genuine(secret, BODY.encode(), headers)
    assert is_genuine(former, BODY.encode(), headers)
    assert not is_genuine(new_secret(), BODY.encode(), headers)


def test_it_takes_nothing_that_was_changed_or_is_old(is_genuine: Check, now: datetime) -> None:
    secret = new_secret()
    headers = headers_of("id", BODY, now, [secret], {})
    assert not is_genuine(secret, b"{}", headers)
    assert not is_genuine(secret, BODY.encode(), {**headers, "webhook-id": "other"})
    old = headers_of("id", BODY, now - timedelta(minutes=6), [secret], {})
    assert not is_genuine(secret, BODY.encode(), old)
