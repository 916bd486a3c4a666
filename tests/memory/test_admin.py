"""The store in the admin."""

from accounts.models import AuditEntry, Role
from memory.models import StoreItem
from tests.api import Api
from tests.staff import list_of, staff


def test_an_editor_sees_a_document_and_deletes_it_and_the_trail_says_so(api: Api) -> None:
    item = StoreItem.objects.create(workspace=api.workspace, namespace=["a", "b"], key="k", value={"likes": "rice"})
    client = staff(Role.EDITOR, api.workspace)
    assert b"a.b / k" in client.get(list_of(StoreItem)).content
    assert b"rice" in client.get(f"{list_of(StoreItem)}{item.pk}/change/").content
    client.post(f"{list_of(StoreItem)}{item.pk}/delete/", {"post": "yes"})
    assert not StoreItem.objects.exists()
    entry = AuditEntry.objects.get(subject_type="store_item")
    assert (entry.action, entry.details) == ("deleted", {"namespace": ["a", "b"], "key": "k"})


def test_an_operator_looks_only(api: Api) -> None:
    item = StoreItem.objects.create(workspace=api.workspace, namespace=["a"], key="k", value={})
    client = staff(Role.OPERATOR, api.workspace)
    assert client.get(list_of(StoreItem)).status_code == 200
    assert client.post(f"{list_of(StoreItem)}{item.pk}/delete/", {"post": "yes"}).status_code == 403
    assert StoreItem.objects.exists()
