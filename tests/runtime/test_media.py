"""Images, files and audio reach each provider in its own form, or are refused in one sentence."""

import warnings
from base64 import b64encode
from typing import Any

import pytest

from runtime.errors import MediaNotSupported
from tests.runtime.driver import Conversation, echo, react
from tests.stubs.anthropic import anthropic_stub
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

pytestmark = pytest.mark.usefixtures("open_loopback")

URL = "https://example.org/thing"
PDF = "application/pdf"
DATA = "aGk="


def inline(kind: str, mime_type: str, data: str = DATA) -> dict[str, Any]:
    # As a client may post it.
    return {"type": kind, "url": None, "base64": data, "mime_type": mime_type}


def linked(kind: str) -> dict[str, Any]:
    return {"type": kind, "url": URL, "base64": None, "mime_type": None}


def local(stub: ModelStub, **llm: Any) -> Conversation:
    return react({"provider": "openai", "model": "local", "base_url": f"http://{stub.address}/v1", **llm})


def claude(stub: ModelStub) -> Conversation:
    return react({"provider": "anthropic", "model": "claude-x", "base_url": f"http://{stub.address}"})


async def shown(chat: Conversation, stub: ModelStub, part: dict[str, Any]) -> Any:
    """The part as the provider's server got it; what an integration warns of is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await chat.say([{"type": "text", "text": "What is this?"}, part])
    text, sent = stub.body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    return sent


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (inline("image", "image/png"), {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}),
        (linked("image"), {"type": "image_url", "image_url": {"url": URL}}),
        (
            inline("file", PDF),
            {"type": "file", "file": {"file_data": f"data:{PDF};base64,{DATA}", "filename": "file.pdf"}},
        ),
        (inline("audio", "audio/wav"), {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}),
        (inline("audio", "audio/mpeg"), {"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}}),
    ],
)
async def test_openai_is_shown_media_in_its_own_form(part: dict[str, Any], sent: Any) -> None:
    with openai_stub(Reply("a cat")) as stub:
        assert await shown(local(stub), stub, part) == sent


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            inline("image", "image/png"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        ),
        (linked("image"), {"type": "image", "source": {"type": "url", "url": URL}}),
        (
            inline("file", PDF),
            {"type": "document", "source": {"type": "base64", "media_type": PDF, "data": DATA}},
        ),
        (linked("file"), {"type": "document", "source": {"type": "url", "url": URL}}),
        (
            inline("file", "text/markdown"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        ),
    ],
)
async def test_anthropic_is_shown_media_in_its_own_form(part: dict[str, Any], sent: Any) -> None:
    with anthropic_stub(Reply("a cat")) as stub:
        assert await shown(claude(stub), stub, part) == sent


@pytest.mark.parametrize(
    ("part", "word"),
    [(linked("file"), "file by url"), (linked("audio"), "audio by url"), (inline("audio", "audio/ogg"), "audio/ogg")],
)
async def test_what_openai_does_not_take_is_refused_without_a_call(part: dict[str, Any], word: str) -> None:
    with openai_stub(Reply("a cat")) as stub:
        with pytest.raises(MediaNotSupported, match=f"not .*{word}") as raised:
            await local(stub).say([part])
        assert not stub.asked
    assert (raised.value.code, raised.value.retryable) == ("media_not_supported", False)


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (linked("audio"), "audio by url"),
        (inline("audio", "audio/wav"), "audio/wav"),
        (inline("file", "application/zip"), "application/zip"),
        (inline("file", "text/plain", b64encode(b"\xff\xfe").decode()), "no text"),
    ],
)
async def test_what_anthropic_does_not_take_is_refused_without_a_call(part: dict[str, Any], word: str) -> None:
    with anthropic_stub(Reply("a cat")) as stub:
        with pytest.raises(MediaNotSupported, match=word):
            await claude(stub).say([part])
        assert not stub.asked


async def test_a_fallback_that_takes_it_answers_instead() -> None:
    with openai_stub(Reply("a cat")) as stub:
        chat = local(stub, fallbacks=[{"provider": "fake", "model": "echo"}])
        assert await chat.say([{"type": "text", "text": "Read this."}, linked("file")]) == "Read this."
        assert not stub.asked
    assert chat.io.events[0][1]["code"] == "media_not_supported"


async def test_the_fake_model_takes_all_and_counts_words_only() -> None:
    chat = echo()
    await chat.say([{"type": "text", "text": "What is this?"}, inline("image", "image/png", "a" * 10_000)])
    assert chat.state.usage.input_tokens == 3
