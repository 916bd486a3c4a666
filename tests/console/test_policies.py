"""What pages may load and run, in a real browser: no page, of ours or of a library, meets its own policy's limits."""

import pytest

from tests.console.conftest import Tab

pytestmark = [pytest.mark.servers, pytest.mark.browser]


def visit(tab: Tab, path: str) -> None:
    answer = tab.page.goto(f"{tab.server.url}{path}")
    assert answer
    assert answer.status == 200, path
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
    assert "script-src 'self'" in answer.headers["content-security-policy"], path


def links(tab: Tab, selector: str) -> list[str]:
    """Where these lead, each once."""
    found = tab.page.eval_on_selector_all(selector, "all => all.map(a => a.getAttribute('href'))")
    return sorted({str(link).split("?")[0] for link in found})


def test_the_admins_lists_and_forms(tab: Tab) -> None:
    tab.begin(tab.assistant({"text": "Hello."}), "Hello?")
    tab.wait(".turn[data-status=success], .turn")
    visit(tab, "/admin/")
    lists = [link for link in links(tab, "a[href^='/admin/']") if link.count("/") == 4]
    assert len(lists) > 8
    for address in lists:
        # Beat's own are drawn by the same scripts as ours.
        if address.startswith("/admin/django_celery_beat/") and address != "/admin/django_celery_beat/periodictask/":
            continue
        visit(tab, address)
        # Of a list's two forms, to change a row and to add one, the same scripts make one.
        for form in [*links(tab, f"#result_list a[href^='{address}']"), *links(tab, f"a[href='{address}add/']")][:1]:
            visit(tab, form)


def test_the_admins_menus_work(tab: Tab) -> None:
    visit(tab, "/admin/accounts/user/")
    # Alpine made functions of its attributes, which the policy of other pages would forbid.
    assert tab.page.evaluate("Boolean(window.Alpine)")
    assert tab.page.evaluate("document.querySelector('[x-data]')._x_dataStack.length") >= 1


def test_the_docs_are_drawn(tab: Tab) -> None:
    visit(tab, "/docs/")
    tab.wait(".opblock-summary")
    tab.page.click(".opblock-summary >> nth=0")
    tab.page.click(".try-out__btn")
    tab.wait(".execute")


def test_our_own_pages_are_drawn(tab: Tab) -> None:
    for page in ("chat", "settings/keys", "settings/members", "settings/audit", "settings/secrets"):
        visit(tab, f"/console/{page}")


@pytest.mark.parametrize("path", ["/assistants", "/workers", "/api-keys"])
def test_the_browsable_api_is_drawn(tab: Tab, path: str) -> None:
    visit(tab, path)
    assert "HTTP 200 OK" in tab.wait(".response-info")


def test_the_browsable_api_signs_out(tab: Tab) -> None:
    tab.page.context.clear_cookies()
    tab.sign_in()  # by a login of its own, which ends here
    visit(tab, "/workers")
    tab.page.click("text=Log out")
    tab.page.wait_for_url("**/login")


def test_a_script_that_stands_in_a_page_is_not_run(tab: Tab) -> None:
    for path in ("/admin/", "/assistants", "/docs/", "/console/chat"):
        visit(tab, path)
        tab.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
        )
        assert tab.page.evaluate("window.ran") is None
    # The browser says so each time.
    assert all("Content Security Policy" in line for line in tab.complaints)
    tab.complaints.clear()
