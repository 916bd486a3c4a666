"""The settings pages in a real browser: what is shown once can be copied, and a click is answered."""

import pytest

from tests.console.conftest import Tab

pytestmark = [pytest.mark.servers, pytest.mark.browser]


def test_a_key_is_made_stored_rotated_and_revoked(tab: Tab) -> None:
    page, settings = tab.page, f"{tab.server.url}/console/settings"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{settings}/keys")
    page.click("text=New key")
    page.fill("#name", "by hand")
    page.check("[name=scopes][value='runs:read']")
    page.click("text=Create key")
    page.click("text=Copy")
    page.wait_for_selector("text=Copied")
    key = page.input_value("#secret")
    assert page.evaluate("navigator.clipboard.readText()") == key
    assert tab.server.client.get("/runs", headers={"authorization": f"Bearer {key}"}).status_code == 200
    page.click("text=I have stored it")
    row = page.locator("tr", has_text="by hand")
    assert key not in page.content()
    row.get_by_text("Rotate").click()
    page.click("text=Make the new key")
    page.click("text=I have stored it")
    for answer in ("is revoked", "is revoked"):
        page.locator("tr", has_text="by hand").first.get_by_text("Revoke").click()
        if page.locator("#name").count():
            page.fill("#name", "by hand")
        page.click("button[data-busy]")
        assert answer in page.inner_text(".told")
    assert page.locator("tr", has_text="by hand").count() == 0
    assert tab.server.client.get("/runs", headers={"authorization": f"Bearer {key}"}).status_code == 401


@pytest.mark.parametrize("name", ["keys", "keys/new", "members", "members/new", "secrets", "new-secret", "audit"])
def test_nothing_but_tables_scrolls_sideways_on_a_narrow_screen(tab: Tab, name: str) -> None:
    tab.page.set_viewport_size({"width": 320, "height": 640})
    tab.page.goto(f"{tab.server.url}/console/settings/{name}")
    wide = tab.page.evaluate("""[...document.querySelectorAll('.sheet, .sheet > :not(.wide)')]
        .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.className || part.tagName)""")
    assert wide == []
