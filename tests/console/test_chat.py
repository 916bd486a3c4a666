"""The chat in a real browser at a real server: what is typed, streamed, stopped, queued and kept."""

from typing import Any

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.console.conftest import Tab

pytestmark = [pytest.mark.browser, pytest.mark.servers]

ANSWER = """# Returns

You may send it back within **30 days**:

1. Open *Orders*

2. Choose `Return`

```python
def hello():

    return "a blank line inside"
```

| day | fee |
|-----|-----|
| 1   | 0   |

Done."""

HOSTILE = """[plain](//evil.test/a) [script](javascript:alert(1)) [data](data:text/html,x) [back](/\\evil.test)
[tab](/\t/evil.test) <a href="JaVaScRiPt:alert(2)">html</a> <img src="https://evil.test/i.png" onerror="alert(3)">
![image](https://evil.test/j.png) <script>window.hurt = 1</script><svg onload="window.hurt = 2"></svg>
<iframe src="https://evil.test"></iframe><form action="https://evil.test"><input name="x"></form>
<p style="background:url(https://evil.test/s.png)" onclick="window.hurt = 3" data-act="retry">p</p>

[good](https://example.com/) and [ours](/docs/)"""


def slowly(text: str, delay_ms: int = 30) -> dict[str, Any]:
    return {"text": text, "delay_ms": delay_ms}


def test_a_conversation_with_echo_from_the_first_message_on(tab: Tab) -> None:
    tab.page.select_option("#assistant", label="Echo")
    tab.say("Hello *there*")
    tab.page.wait_for_url("**/console/chat/*-*")
    tab.wait(".turn footer")
    expect(tab.page.locator(".bubble")).to_have_text("Hello *there*")
    expect(tab.page.locator(".assistant em")).to_have_text("there")
    expect(tab.page.locator("#pill")).to_have_text("Live")
    tab.say("And again")
    expect(tab.page.locator(".turn footer")).to_have_count(2)
    expect(tab.page.locator("#message")).to_be_focused()
    expect(tab.page.locator("#status")).to_have_text("Reply finished")


def test_a_limit_is_told_and_what_was_typed_stays(tab: Tab) -> None:
    tab.begin(tab.assistant({"text": "Hi"}, rate_limit={"requests_per_minute": 1}), "Hello")
    tab.wait(".turn footer")
    expect(tab.page.locator("#pill")).to_have_text("Live")
    tab.say("And again")
    expect(tab.page.locator("#notice")).to_contain_text("The assistant takes 1 request a minute")
    expect(tab.page.locator("#message")).to_have_value("And again")
    assert tab.page.locator(".turn").count() == 1


def test_text_streams_and_a_reload_in_the_middle_loses_nothing(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly(ANSWER)), "How do I return shoes?")
    tab.wait(".assistant h3")
    assert tab.page.locator(".turn footer").count() == 0
    tab.reload()
    tab.wait(".assistant")
    assert tab.page.locator(".turn footer").count() == 0
    tab.wait(".turn footer")
    streamed = tab.page.inner_html(".assistant .md")
    assert tab.source() == ANSWER
    assert tab.page.locator(".user").count() == 1
    tab.reload()
    assert tab.page.inner_html(".assistant .md") == streamed
    assert tab.source() == ANSWER


def test_the_text_joins_after_the_connection_was_cut(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly(ANSWER)), "Hello")
    tab.wait(".assistant h3")
    cut(tab)
    expect(tab.page.locator("#pill")).to_have_text("Live", timeout=10_000)
    tab.wait(".turn footer")
    assert tab.source() == ANSWER


def cut(tab: Tab) -> None:
    """End the page's connection as a network does, without its say."""
    tab.page.context.set_offline(True)
    tab.page.evaluate("dispatchEvent(new Event('offline'))")
    expect(tab.page.locator("#pill")).to_have_text("Offline")
    tab.page.wait_for_timeout(300)
    tab.page.context.set_offline(False)
    # The browser's own line about it is not the page's complaint.
    tab.complaints = [line for line in tab.complaints if "ERR_INTERNET_DISCONNECTED" not in line]


def test_tool_calls_are_lines_that_open(tab: Tab) -> None:
    calls = [
        {"name": "calculator", "args": {"expression": "6*7"}},
        {"name": "http_request", "args": {"url": "http://10.0.0.1/"}},
    ]
    turns = [{"text": "Let me see.", "tool_calls": calls}, {"text": "It is 42."}]
    tab.begin(tab.assistant(*turns, tools=[{"name": "calculator"}, {"name": "http_request"}]), "What is 6*7?")
    for reloaded in (False, True):
        if reloaded:
            tab.reload()
        tab.wait(".turn footer")
        lines = tab.page.locator(".call")
        expect(lines).to_have_count(2)
        expect(lines.nth(0)).to_contain_text("calculator")
        expect(lines.nth(0).locator(".args")).to_have_text('expression: "6*7"')
        expect(lines.nth(0).locator(".badge")).to_have_text("ok")
        expect(lines.nth(1).locator(".badge")).to_have_text("error")
        lines.nth(0).locator("summary").click()
        expect(lines.nth(0).locator(".payload")).to_contain_text("42")


def test_a_failing_model_shows_why_and_retry_sends_the_same_again(tab: Tab) -> None:
    turns = [{"error": {"status": 400}}, {"text": "Better now."}]
    tab.begin(tab.assistant(*turns), "Try this")
    assert "status 400" in tab.wait(".failure .reason")
    tab.reload()
    tab.page.click("[data-act=retry]")
    expect(tab.page.locator(".assistant")).to_have_text("Better now.", timeout=10_000)
    expect(tab.page.locator(".bubble")).to_have_text(["Try this", "Try this"])
    expect(tab.page.locator(".failure")).to_have_count(1)


def test_a_retried_attempt_takes_its_tokens_back(tab: Tab) -> None:
    turns = [{"error": {"status": 503}}, {"text": "Second time lucky."}]
    policy = {"max_attempts": 2, "initial_interval_s": 0.2}
    tab.begin(tab.assistant(*turns, retry_policy=policy), "Hello")
    tab.wait(".turn footer")
    assert tab.source() == "Second time lucky."
    assert tab.page.locator(".failure").count() == 0


def test_stop_keeps_what_was_said(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly("one two three four five six seven eight nine ten " * 20, 60)), "Count")
    tab.wait(".assistant")
    tab.page.wait_for_timeout(500)
    tab.page.click("#stop")
    assert tab.wait(".stopped").startswith("Stopped by you after")
    said = tab.source()
    assert said.startswith("one two")
    tab.reload()
    assert tab.source() == said
    assert tab.wait(".stopped").startswith("Stopped after")
    expect(tab.page.locator("#stop")).to_be_hidden()


def test_a_message_sent_meanwhile_waits_and_may_be_cancelled(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly(ANSWER, 60), {"text": "The third one's answer."}), "First")
    tab.wait(".assistant")
    tab.say("Second")
    tab.say("Third")
    expect(tab.page.locator(".queued")).to_have_count(2)
    tab.page.locator("[data-act=unqueue]").first.click()
    expect(tab.page.locator(".stopped")).to_have_text("Cancelled before it began")
    expect(tab.page.locator(".turn").last.locator("footer")).to_be_visible(timeout=20_000)
    assert tab.source() == ANSWER
    expect(tab.page.locator(".assistant").last).to_have_text("The third one's answer.")
    tab.reload()
    expect(tab.page.locator(".bubble")).to_have_text(["First", "Second", "Third"])


def test_hostile_markdown_is_harmless(tab: Tab) -> None:
    tab.page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    tab.begin(tab.assistant(slowly(HOSTILE, 2)), HOSTILE)
    for reloaded in (False, True):
        if reloaded:
            tab.reload()
        tab.wait(".turn footer")
        said = tab.page.locator(".assistant")
        for tag in (
            "img",
            "script",
            "svg",
            "iframe",
            "form",
            "input",
            "[style]",
            "[onclick]",
            "[onerror]",
            "p[data-act]",
        ):
            assert said.locator(tag).count() == 0, tag
        targets = said.locator("a[href]").evaluate_all("links => links.map(link => link.href)")
        # An image became a link, which loads nothing; the backslash stays on this site, as %5C.
        ours = [f"{tab.server.url}/%5Cevil.test", f"{tab.server.url}/docs/"]
        assert sorted(targets) == sorted([*ours, "https://evil.test/j.png", "https://example.com/"])
        assert said.locator("a[href]").first.get_attribute("rel") == "noopener noreferrer nofollow"
        assert tab.page.evaluate("window.hurt") is None
        expect(said).to_contain_text('onerror="alert(3)"')  # as text
        expect(tab.page.locator(".bubble")).to_contain_text("<script>")


def test_a_draft_survives_a_reload_and_is_kept_per_conversation(tab: Tab) -> None:
    tab.begin(tab.assistant({"text": "Hi."}), "Hello")
    tab.page.fill("#message", "not sent yet")
    tab.reload()
    expect(tab.page.locator("#message")).to_have_value("not sent yet")
    tab.page.click("text=New chat")
    tab.ready()
    expect(tab.page.locator("#message")).to_have_value("")


def test_shift_enter_and_an_input_method_do_not_send(tab: Tab) -> None:
    tab.page.fill("#message", "one")
    tab.page.press("#message", "Shift+Enter")
    tab.page.type("#message", "two")
    tab.page.evaluate(
        "document.getElementById('message').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    expect(tab.page.locator("#message")).to_have_value("one\ntwo")
    expect(tab.page.locator(".turn")).to_have_count(0)


def test_a_second_tab_sees_the_same(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly(ANSWER), {"text": "Short."}), "Hello")
    second = tab.page.context.new_page()
    second.goto(tab.page.url)
    second.wait_for_selector(".turn footer", timeout=20_000)
    assert second.evaluate("document.querySelector('.turn').turn.markdown") == ANSWER
    tab.wait(".turn footer")
    tab.say("From the first tab")
    expect(second.locator(".bubble").last).to_have_text("From the first tab")
    expect(second.locator(".assistant").last).to_have_text("Short.")
    second.close()


def test_a_long_answer_is_followed_to_its_first_line_only(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly("A line of the answer.\n\n" * 60, 1), slowly("More.\n\n" * 100, 4)), "Hello")
    tab.wait(".turn footer")
    tab.reload()
    assert from_end(tab) < 5  # it opens at the newest
    tab.say("Go on")
    expect(tab.page.locator(".turn footer")).to_have_count(2, timeout=20_000)
    top = tab.page.locator(".assistant").last.bounding_box()
    log = tab.page.locator("#log").bounding_box()
    assert top
    assert log
    assert 0 <= top["y"] - log["y"] < 30
    tab.page.click("#newest")
    assert from_end(tab) < 5


def test_earlier_messages_come_on_request_and_the_reader_stays_where_they_are(tab: Tab) -> None:
    client = tab.server.client
    session = client.post(f"/assistants/{tab.assistant({'text': 'Answer.'})}/sessions").json()["id"]
    for number in range(30):
        client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": f"Message {number}"}})
    tab.page.goto(f"{tab.server.url}/console/chat/{session}")
    tab.ready()
    assert from_end(tab) < 5
    first = tab.page.get_by_text("Message 5", exact=True)
    tab.page.locator("[data-act=earlier]").scroll_into_view_if_needed()
    before = first.bounding_box()
    tab.page.click("[data-act=earlier]")
    expect(tab.page.locator(".turn")).to_have_count(30)
    after = first.bounding_box()
    assert before
    assert after
    # The button itself is gone, and nothing else moved.
    assert abs(after["y"] - before["y"]) < 80
    expect(tab.page.locator("[data-act=earlier]")).to_have_count(0)


def from_end(tab: Tab) -> float:
    """How far the log is from its end, in pixels."""
    log = tab.page.locator("#log")
    return float(log.evaluate("log => log.scrollHeight - log.clientHeight - log.scrollTop"))


def test_nothing_sticks_out_at_320_pixels(tab: Tab) -> None:
    tab.begin(tab.assistant(slowly(f"{ANSWER}\n\n{'w' * 300}", 1)), "Hello " + "x" * 200)
    tab.wait(".turn footer")
    tab.page.set_viewport_size({"width": 320, "height": 560})
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 320
    expect(tab.page.locator("#message")).to_be_in_viewport()
    tab.page.click("a[href='#sessions']")
    expect(tab.page.locator("#sessions")).to_be_visible()
    tab.page.go_back()
    expect(tab.page.locator("#sessions")).to_be_hidden()


def test_without_websockets_the_page_asks_every_few_seconds(tab: Tab) -> None:
    tab.page.route_web_socket("**/ws/**", lambda socket: socket.close())
    tab.begin(tab.assistant({"text": "The first."}, {"text": "The second."}), "Hello")
    expect(tab.page.locator("#pill")).to_have_text("Checking every 5 s", timeout=10_000)
    tab.wait(".turn footer")
    tab.say("Once more")
    expect(tab.page.locator(".assistant").last).to_have_text("The second.", timeout=15_000)


def test_a_message_whose_fate_is_unknown_is_neither_lost_nor_sent_twice(tab: Tab) -> None:
    def swallow(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(lambda frame: socket.close() if '"send"' in str(frame) else server.send(frame))

    tab.page.route_web_socket("**/ws/**", swallow)
    tab.begin(tab.assistant({"text": "The first."}, {"text": "The second."}), "Hello")
    tab.wait(".turn footer")
    tab.say("Did you hear me?")
    tab.wait("[data-act=resend]")
    tab.reload()
    tab.wait("[data-act=resend]")
    expect(tab.page.locator(".bubble")).to_have_text(["Hello", "Did you hear me?"])
    tab.page.route_web_socket("**/ws/**", lambda socket: socket.connect_to_server() and None)
    tab.reload()
    tab.wait("[data-act=resend]")
    tab.page.click("[data-act=resend]")
    expect(tab.page.locator(".assistant").last).to_have_text("The second.", timeout=10_000)
    expect(tab.page.locator(".bubble")).to_have_text(["Hello", "Did you hear me?"])


def test_the_theme_is_kept(tab: Tab) -> None:
    tab.page.click("[popovertarget=account] >> visible=true")
    tab.page.select_option("#theme", "dark")
    tab.reload()
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_first_visit_takes_few_requests(tab: Tab) -> None:
    tab.begin(tab.assistant({"text": "Hi."}), "Hello")
    tab.wait(".turn footer")
    names = "performance.getEntriesByType('resource').filter(e => e.initiatorType !== 'fetch').map(e => e.name)"
    assert len(tab.page.evaluate(names)) + 2 <= 10  # and the page and its websocket
