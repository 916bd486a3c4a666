"""The versions of an assistant in the admin: made, compared, rolled back to, tagged."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from accounts.identity import Identity
from assistants import services
from assistants.models import Assistant
from tests.assistants.admin_pages import page_of, post, save, shown

pytestmark = pytest.mark.django_db
Body = dict[str, Any]

PROMPT = "You are kind.\nYou are brief.\nYou never guess."


@pytest.fixture
def assistant(identity: Identity, body: Body) -> Assistant:
    """An active one, at version 1."""
    whole = {
        "system_prompt": PROMPT,
        "rate_limit": {"requests_per_minute": 5},
        "metadata": {"team": "support", "site": None},
    }
    return services.create_assistant(identity, {**body, **whole})


@pytest.fixture
def config(assistant: Assistant) -> Body:
    """Its whole configuration."""
    found: Body = assistant.versions.get().config
    return found


def current(assistant: Assistant) -> Body:
    found = Assistant.objects.get(id=assistant.id)
    config: Body = found.versions.get(number=found.version).config
    return config


# -- a new version ---------------------------------------------------------------------------------------------------


def test_the_form_holds_the_whole_configuration(admin: Client, assistant: Assistant, config: Body) -> None:
    form = admin.get(page_of(assistant, "new-version")).context["form"]
    assert json.loads(form["configuration"].value()) == config
    assert form["expected_version"].value() == 1


def test_a_change_makes_a_version(admin: Client, assistant: Assistant, config: Body) -> None:
    page = save(admin, assistant, {**config, "max_steps": 7}, note="Fewer steps.")
    assert "Version 2 is stored. Compare it with 1" in page
    assert "Fewer steps." in page
    assert current(assistant) == {**config, "max_steps": 7}
    assert assistant.versions.get(number=2).created_by == "user:admin"


def test_what_is_taken_out_is_gone(admin: Client, assistant: Assistant, config: Body) -> None:
    del config["rate_limit"], config["system_prompt"], config["metadata"]["team"], config["llm"]["temperature"]
    save(admin, assistant, config)
    now = current(assistant)
    assert (now["rate_limit"], now["system_prompt"], now["llm"]["temperature"]) == (None, "", None)
    assert now["metadata"] == {"site": None}


def test_a_null_of_ones_own_is_kept(admin: Client, assistant: Assistant, config: Body) -> None:
    config["metadata"]["owner"] = None
    save(admin, assistant, config)
    assert current(assistant)["metadata"] == {"team": "support", "site": None, "owner": None}


def test_without_a_change_there_is_no_version(admin: Client, assistant: Assistant, config: Body) -> None:
    assert "Nothing is different, so there is no new version" in save(admin, assistant, config)
    assert assistant.versions.count() == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"llm": {"provider": "fake", "model": "echo", "temperature": 7}}, "llm.temperature: Input should be less"),
        ({"tools": [{"name": "no_such_tool"}]}, "tools.0.name: There is no tool 'no_such_tool'."),
        ({"change_note": "here"}, "change_note: Extra inputs are not permitted"),
        ({"name": "taken"}, "An assistant named 'taken' exists."),
    ],
    ids=str,
)
def test_faults_have_their_place_and_the_text_stays(
    admin: Client, identity: Identity, assistant: Assistant, body: Body, config: Body, change: Body, fault: str
) -> None:
    services.create_assistant(identity, {**body, "name": "taken"})
    typed = json.dumps({**config, **change}, indent=7)
    page = save(admin, assistant, typed)
    assert fault in page
    assert " ".join(typed.split()) in page
    assert assistant.versions.count() == 1


def test_what_is_no_json_is_kept_too(admin: Client, assistant: Assistant) -> None:
    page = save(admin, assistant, '{"name": oops}')
    assert "The configuration is not valid JSON" in page
    assert '{"name": oops}' in page


def test_who_is_overtaken_is_told_and_may_decide(
    admin: Client, identity: Identity, assistant: Assistant, config: Body
) -> None:
    services.update_assistant(identity, assistant.id, {"max_steps": 7})
    address = page_of(assistant, "new-version")
    fields = {"configuration": json.dumps({**config, "priority": 3}), "expected_version": 1}
    page = shown(answer := admin.post(address, fields))
    assert "Somebody else stored version 2 while you edited version 1." in page
    assert '"priority": 3' in page
    assert current(assistant)["priority"] == 0
    hidden = re.search(r'name="expected_version" value="(\d+)"', answer.content.decode())
    assert hidden
    save(admin, assistant, fields["configuration"], version=int(hidden[1]))
    assert (current(assistant)["priority"], current(assistant)["max_steps"]) == (3, 50)


@pytest.mark.parametrize("page", ["new-version", "versions/1/rollback", "versions/1/tags"])
def test_an_archived_assistant_is_not_changed(
    admin: Client, identity: Identity, assistant: Assistant, config: Body, page: str
) -> None:
    services.archive_assistant(identity, assistant.id)
    assert "is archived and cannot be changed" in shown(admin.get(page_of(assistant, page), follow=True))
    fields = {"configuration": json.dumps({**config, "priority": 3}), "expected_version": 1, "name": "stable"}
    assert "is archived and cannot be changed" in post(admin, page_of(assistant, page), **fields)
    assert assistant.versions.count() == 1
    assert not assistant.version_tags.exists()


# -- comparing -------------------------------------------------------------------------------------------------------


def compare(client: Client, assistant: Assistant, **query: Any) -> Any:
    return client.get(page_of(assistant, "compare"), {name.strip("_"): value for name, value in query.items()})


def test_versions_are_compared(admin: Client, identity: Identity, assistant: Assistant) -> None:
    prompt = PROMPT.replace("brief", "very brief")
    services.update_assistant(identity, assistant.id, {"system_prompt": prompt, "metadata": {"team": None, "a": 1}})
    page = shown(compare(admin, assistant, from_=1, to=2))
    assert "~ changed system_prompt" in page
    assert '- removed metadata.team "support" –' in page
    assert "+ added metadata.a – 1" in page
    assert "~ You are brief." in page
    assert "~ You are very brief." in page


def test_without_a_choice_the_last_two_are_compared(admin: Client, identity: Identity, assistant: Assistant) -> None:
    assert "This is one version" in shown(compare(admin, assistant))
    services.update_assistant(identity, assistant.id, {"max_steps": 7})
    services.update_assistant(identity, assistant.id, {"max_steps": 8})
    assert "~ changed max_steps 7 8" in shown(compare(admin, assistant))
    assert "~ changed max_steps 8 50" in shown(compare(admin, assistant, from_=3, to=1))


def test_the_same_configuration_is_said_to_be_the_same(admin: Client, identity: Identity, assistant: Assistant) -> None:
    for steps in (7, None):
        services.update_assistant(identity, assistant.id, {"max_steps": steps})
    assert "Versions 1 and 3 have the same configuration." in shown(compare(admin, assistant, from_=1, to=3))


def test_unchanged_lines_are_folded_until_one_wants_all(
    admin: Client, identity: Identity, assistant: Assistant
) -> None:
    services.update_assistant(identity, assistant.id, {"max_steps": 7})
    folded, whole = (compare(admin, assistant, **query).content.decode() for query in ({}, {"all": 1}))
    assert '<details class="fold">' in folded
    assert '<details class="fold" open>' not in folded
    assert '<details class="fold">' not in whole
    assert '<details class="fold" open>' in whole


@pytest.mark.parametrize("query", [{"from": 9}, {"to": 9}, {"from": "x"}, {"to": "-1"}, {"to": 10**30}, {"from": "٣"}])
def test_an_unknown_version_is_not_found(admin: Client, assistant: Assistant, query: Body) -> None:
    assert compare(admin, assistant, **query).status_code == 404


def test_a_prompt_is_data(admin: Client, identity: Identity, assistant: Assistant) -> None:
    services.update_assistant(identity, assistant.id, {"system_prompt": "<script>alert(1)</script>\n{% now %}"})
    for page in ("change", "compare", "versions/2", "versions/1/rollback", "new-version"):
        text = admin.get(page_of(assistant, page)).content.decode()
        assert "<script>alert(1)" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "{% now %}" in text


# -- rolling back ----------------------------------------------------------------------------------------------------


def test_one_sees_what_a_rollback_changes_and_confirms_it(
    admin: Client, identity: Identity, assistant: Assistant, config: Body
) -> None:
    services.update_assistant(identity, assistant.id, {"max_steps": 7})
    address = page_of(assistant, "versions/1/rollback")
    assert "~ changed max_steps 7 50" in shown(admin.get(address))
    assert current(assistant)["max_steps"] == 7
    page = post(admin, address, expected_version=2, change_note="As before.")
    assert "Version 3 is stored, as version 1 was." in page
    assert "As before. (copied from 1)" in page
    assert current(assistant) == config


def test_a_rollback_of_what_one_did_not_see_is_refused(admin: Client, identity: Identity, assistant: Assistant) -> None:
    for steps in (7, 8):
        services.update_assistant(identity, assistant.id, {"max_steps": steps})
    page = post(admin, page_of(assistant, "versions/1/rollback"), expected_version=2)
    assert "The assistant is at version 3 by now." in page
    assert "~ changed max_steps 8 50" in page
    assert assistant.versions.count() == 3


def test_an_unknown_version_is_not_rolled_back_to(admin: Client, assistant: Assistant) -> None:
    assert admin.post(page_of(assistant, "versions/9/rollback"), {"expected_version": 1}).status_code == 404


# -- tags ------------------------------------------------------------------------------------------------------------


def tags(assistant: Assistant) -> dict[str, int]:
    return dict(assistant.version_tags.values_list("name", "version"))


def test_a_version_is_tagged_and_the_tag_moved_and_removed(
    admin: Client, identity: Identity, assistant: Assistant
) -> None:
    services.update_assistant(identity, assistant.id, {"max_steps": 7})
    assert "The tag stable points at version 1." in post(admin, page_of(assistant, "versions/1/tags"), name="stable")
    page = shown(admin.get(page_of(assistant, "versions/2/tags")))
    assert "Move to version 2 Remove stable" in page
    post(admin, page_of(assistant, "versions/2/tags"), name="stable")
    assert tags(assistant) == {"stable": 2}
    assert "is no longer tagged" in post(admin, page_of(assistant, "versions/1/tags"), name="stable", remove=2)
    assert tags(assistant) == {}


@pytest.mark.parametrize("name", ["Stable", "-x", "a b", "x" * 65, ""])
def test_a_wrong_tag_is_explained(admin: Client, assistant: Assistant, name: str) -> None:
    page = post(admin, page_of(assistant, "versions/1/tags"), name=name)
    assert "A tag is 1 to 64" in page or "at most 64" in page or "required" in page
    assert tags(assistant) == {}


def test_a_tag_that_was_moved_meanwhile_is_not_removed(admin: Client, identity: Identity, assistant: Assistant) -> None:
    services.tag_version(identity, assistant.id, 1, "stable")
    assert "has no tag" in post(admin, page_of(assistant, "versions/1/tags"), name="stable", remove=2)
    assert tags(assistant) == {"stable": 1}
