"""What is cut out of texts, and what is not."""

import base64
import inspect
import json
import logging
import sys
from urllib.parse import quote

import pytest

from config.celery import app
from config.logs import _SHARED, _Redacted, _rendering
from core.errors import Invalid
from core.redaction import Redactor, everywhere, in_logs
from runtime.configuration import configure, current
from runtime.secrets import Secret, redactor

VALUE = 'a "key"/with + everything'


@pytest.fixture
def knows() -> Redactor:
    found = Redactor()
    found.learn("KEY", f" {VALUE}\n")
    return found


@pytest.mark.parametrize(
    "form", [VALUE, quote(VALUE, safe=""), quote(VALUE), json.dumps(VALUE), json.dumps({"a": [VALUE]})]
)
def test_a_secret_is_cut_out_in_the_forms_that_texts_give_it(knows: Redactor, form: str) -> None:
    told = knows.text(f"It is {form}, {form}.")
    assert told.count("[KEY]") == 2
    assert "with" not in told


@pytest.mark.parametrize("before", ["", "u:", "us:", "use:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_in_base64_too_whatever_stands_beside_it(knows: Redactor, before: str, encode: object) -> None:
    whole = encode(f"{before}{VALUE}:after".encode()).decode()  # type: ignore[operator]
    told = knows.text(f"Basic {whole}")
    assert "[KEY]" in told
    assert len(told) < len(whole) - 20


def test_values_are_searched_at_every_depth(knows: Redactor) -> None:
    told = knows.value({"a": [VALUE, 5, None, {VALUE: f"x{VALUE}"}], "b": (VALUE,)})
    assert told == {"a": ["[KEY]", 5, None, {"[KEY]": "x[KEY]"}], "b": ["[KEY]"]}


def test_a_value_without_any_is_given_back_as_it_is() -> None:
    redactor = Redactor()
    redactor.learn("plain", "a-plain-secret")
    value = {"a": [{"b": "none of it here"}]}
    assert redactor.value(value) is value


@pytest.mark.parametrize("secret", ['with "quotes" in it', "with\\a backslash", "with an é in it"])
def test_what_json_escapes_is_found_in_json_within_json(secret: str) -> None:
    redactor = Redactor()
    redactor.learn("odd", secret)
    assert redactor.value({"body": json.dumps({"key": secret}), "plain": secret}) == {
        "body": '{"key": "[odd]"}',
        "plain": "[odd]",
    }


def test_a_secret_of_the_server_is_found_by_those_who_know_more(knows: Redactor) -> None:
    above = Redactor()
    above.learn("above", "the-secret-of-all")
    assert Redactor(above).value(["the-secret-of-all"]) == ["[above]"]


def test_short_ones_are_left_alone(knows: Redactor) -> None:
    knows.learn("SHORT", "7 chars")
    knows.learn("EMPTY", " " * 20)
    assert knows.text("7 chars and blanks: " + " " * 20) == "7 chars and blanks: " + " " * 20


def test_of_two_the_longer_one_goes_first(knows: Redactor) -> None:
    knows.learn("INNER", "everything")
    assert knows.text(f"{VALUE} and everything") == "[KEY] and [INNER]"


def test_those_met_first_are_forgotten_first() -> None:
    knows = Redactor(most=2)
    for number in range(3):
        knows.learn(str(number), f"secret-number-{number}")
    assert knows.text("secret-number-0 secret-number-1 secret-number-2") == "secret-number-0 [1] [2]"


def test_one_workspaces_secret_is_not_cut_out_of_anothers_texts() -> None:
    ours = redactor({"crm": Secret("a phrase of ours", ())})
    theirs = redactor({"crm": Secret("a phrase of theirs", ())})
    assert ours.text("a phrase of ours, a phrase of theirs") == "[secret:crm], a phrase of theirs"
    assert theirs.text("a phrase of ours") == everywhere.text("a phrase of ours") == "a phrase of ours"
    assert in_logs.text("a phrase of ours, a phrase of theirs") == "[secret:crm], [secret:crm]"


def test_variables_that_assistants_may_name_are_known_before_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_UNUSED", "nobody has used it")
    configure(current())
    assert everywhere.text("nobody has used it") == "[AGENT_SECRET_UNUSED]"


def test_what_is_no_key_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://models.of-ours.example/v1")
    monkeypatch.setenv("OPENAI_MODEL", "model-of-ours")
    monkeypatch.setenv("OPENAI_PROXY_URL", "https://user:password-of-ours@models.example")
    configure(current())
    told = everywhere.text(
        "model-of-ours https://models.of-ours.example/v1 https://user:password-of-ours@models.example"
    )
    assert told == "model-of-ours https://models.of-ours.example/v1 [OPENAI_PROXY_URL]"


def test_keys_of_this_server_are_known_by_their_form() -> None:
    key = f"sk_{'0' * 12}_{'a' * 40}"
    assert everywhere.text(f"x={key}.") == "x=[key]."
    assert Invalid.at("name", message=f"No: {key}").document("r")["errors"] == [
        {"loc": ["name"], "message": "No: [key]"}
    ]


def test_errors_of_the_api_are_told_without_secrets() -> None:
    everywhere.learn("TOLD", "told-by-an-error")
    assert Invalid("It is told-by-an-error.").document("r")["detail"] == "It is [TOLD]."


# -- logs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "{'authorization': 'Bearer abc', 'accept': 'kept'}",
        "[(b'Authorization', b'Bearer abc'), (b'accept', b'kept')]",
        '{"cookie": "sessionid=abc; b=abc", "accept": "kept"}',
        r'{"event": "{\"x-api-key\": \"abc\", \"accept\": \"kept\"}"}',
        "Set-Cookie: sessionid=abc; b=abc\r\naccept: kept",
        "kept, X-API-Key=abc",
        "kept: Proxy-Authorization: Basic abc",
        "kept Bearer abc-abcdefgh",
    ],
)
def test_headers_that_carry_credentials_are_cut_out_of_log_lines(line: str) -> None:
    told = in_logs.line(line)
    assert "abc" not in told
    assert "kept" in told
    if line.startswith('{"'):
        json.loads(told)


def test_other_lines_stay_as_they_are() -> None:
    line = "worker | A cookie was eaten; the bearer is tall, authorization is a long word."
    assert in_logs.line(line) == line


def test_a_librarys_message_and_traceback_are_searched() -> None:
    in_logs.learn("LOGGED", "known-to-the-logs")
    formatter = _Redacted(foreign_pre_chain=_SHARED, processors=_rendering("web"))
    try:
        raise ValueError("known-to-the-logs")
    except ValueError:
        record = logging.LogRecord("lib", 40, "f", 1, "said %s", ("known-to-the-logs",), sys.exc_info())
    told = formatter.format(record)
    assert "known-to-the-logs" not in told
    assert "said [LOGGED]" in told
    assert "ValueError: [LOGGED]" in told


def test_tasks_take_nothing_that_a_broker_could_tell() -> None:
    app.loader.import_default_modules()
    ours = [task for name, task in app.tasks.items() if not name.startswith("celery.")]
    assert ours
    assert not any(inspect.signature(task.run).parameters for task in ours)
