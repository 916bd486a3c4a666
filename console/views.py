"""The chat's pages and the few things that they fetch."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import get_script_prefix, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.authentication import WORKSPACE_CHOICE
from accounts.identity import Identity
from accounts.queries import workspaces
from console import queries
from console.access import page
from console.asked import read_card, settled
from console.frame import frame
from console.history import read_page
from console.services import start_conversation
from console.todos import read_todos
from core.errors import Invalid, NotFound
from core.ids import new_id, parse_id, path_id
from core.validation import validate
from runs.events import event_document, parse_event_id
from runs.queries import events_of_session
from sessions.bodies import ChangeSession
from sessions.services import change_session

EVENTS_AT_ONCE = 500


def home(request: HttpRequest) -> HttpResponseRedirect:
    return redirect("console:chat")


@require_http_methods(["GET", "HEAD", "POST"])
@page
def chat(request: HttpRequest, identity: Identity) -> HttpResponse:
    """An empty conversation; posting its first message starts it."""
    if request.method == "POST":
        return _start(request, identity)
    chosen = request.GET.get("assistant", "")
    assistants = queries.active_assistants(identity, parse_id(chosen)).run()
    if chosen and chosen not in {str(assistant["id"]) for assistant in assistants}:
        # Another one in its stead would be told what was meant for this one.
        raise NotFound("There is no active assistant with the id in the address.")
    context = {
        "assistants": assistants,
        "chosen": chosen,
        "run_id": new_id(),
        "may_talk": identity.allows("sessions:write") and identity.allows("runs:write"),
    }
    return render(request, "console/chat/new.html", {**context, **_around(request, identity)})


def _start(request: HttpRequest, identity: Identity) -> HttpResponse:
    message = request.POST.get("message", "")
    if not message.strip():
        raise Invalid.at("message", message="Write something first.")
    assistant_id, run_id = _posted_id(request, "assistant"), _posted_id(request, "run")
    session_id = start_conversation(identity, _owner(request), assistant_id, message, run_id)
    return JsonResponse({"address": reverse("console:conversation", args=[session_id])}, status=201)


def _posted_id(request: HttpRequest, name: str) -> UUID:
    value = parse_id(request.POST.get(name, ""))
    if value is None:
        raise Invalid.at(name, message="An id is missing; reload the page.")
    return value


@require_GET
@page
def conversation(request: HttpRequest, identity: Identity, session_id: UUID) -> HttpResponse:
    """A conversation with its newest messages and everything that is under way."""
    session = queries.conversation(identity, session_id).run()
    context = {
        "session": session,
        "page": read_page(session),
        "card": read_card(identity, session),
        "todos": read_todos(session),
        "after": f"{session['number']}-{session['last_seq']}",
        "socket": f"{get_script_prefix()}ws/sessions/{session_id}",
        "may_answer": _may_answer(identity, session),
        "may_talk": _may_talk(identity, session),
    }
    return render(request, "console/chat/conversation.html", {**context, **_around(request, identity, session)})


@require_GET
@page
def earlier(request: HttpRequest, identity: Identity, session_id: UUID) -> HttpResponse:
    """The messages before `?before=`, as HTML to put above what is there."""
    before = request.GET.get("before", "")
    if not (before.isascii() and before.isdigit() and len(before) < 10):
        raise Invalid.at("query", "before", message="A message's number.")
    session = queries.conversation(identity, session_id).run()
    stretch = read_page(session, int(before))
    return render(request, "console/chat/_stretch.html", {"session": session, "page": stretch})


@require_GET
@page
def events(request: HttpRequest, identity: Identity, session_id: UUID) -> HttpResponse:
    """Committed events after `?after=`: what a page reads every few seconds where no websocket gets through."""
    number, seq = parse_event_id(request.GET.get("after", ""), "after")
    session = queries.conversation(identity, session_id).run()
    rows = events_of_session(session["id"], number, seq, EVENTS_AT_ONCE).run()
    return JsonResponse({"events": [event_document(row) for row in rows]})


@require_GET
@page
def asked(request: HttpRequest, identity: Identity, session_id: UUID) -> HttpResponse:
    """What the conversation asks a person, as HTML. Where that is nothing, what became of what `?run=` asked."""
    session = queries.conversation(identity, session_id).run()
    context: dict[str, Any] = {"card": read_card(identity, session), "may_answer": _may_answer(identity, session)}
    if context["card"] is None and (given := request.GET.get("run")):
        context["settled"] = settled(identity, session, path_id(given))
    return render(request, "console/chat/_asked.html", context)


@require_GET
@page
def todos(request: HttpRequest, identity: Identity, session_id: UUID) -> HttpResponse:
    """The list of what the assistant has to do, as HTML."""
    session = queries.conversation(identity, session_id).run()
    return render(request, "console/chat/_todos.html", {"todos": read_todos(session)})


@require_GET
@page
def tool_call(request: HttpRequest, identity: Identity, session_id: UUID, run_id: UUID, call_id: str) -> HttpResponse:
    """One tool call's arguments and result, fetched when its line is opened."""
    session = queries.conversation(identity, session_id).run()
    call = queries.tool_call(session["id"], run_id, call_id).run()
    return JsonResponse({name: call.get(name) for name in ("args", "status", "result", "error")})


@require_POST
@page
def rename(request: HttpRequest, identity: Identity, session_id: UUID) -> HttpResponse:
    identity.require("sessions:write")
    title = request.POST.get("title", "").strip()
    if not title:
        raise Invalid.at("title", message="A conversation needs a name.")
    change_session(identity, session_id, validate(ChangeSession, {"title": title})).run()
    return redirect("console:conversation", session_id)


@require_GET
@page
def sidebar(request: HttpRequest, identity: Identity) -> HttpResponse:
    """The list of conversations as HTML; `?current=` is the one that is open."""
    current = parse_id(request.GET.get("current", ""))
    context = {"conversations": queries.conversations(identity, _owner(request)).run(), "current": current}
    return render(request, "console/chat/_conversations.html", context)


@require_GET
@page
def status(request: HttpRequest, identity: Identity) -> HttpResponse:
    """Whether messages will be answered at all."""
    return JsonResponse({"worker": queries.worker_is_running().run()})


@require_POST
@page
def switch_workspace(request: HttpRequest, identity: Identity) -> HttpResponse:
    """Go on in another of the person's workspaces, for as long as they stay signed in."""
    wanted = _posted_id(request, "workspace")
    if not workspaces(identity).filter(id=wanted).exists():
        raise NotFound("You belong to no workspace with this id.")
    request.session[WORKSPACE_CHOICE] = str(wanted)
    return redirect("console:home")


def _around(request: HttpRequest, identity: Identity, session: Any = None) -> dict[str, Any]:
    """What every page of the chat has beside the conversation."""
    return {
        **frame(request, identity, "chat"),
        "conversations": queries.conversations(identity, _owner(request)).run(),
        "current": session["id"] if session else None,
        "worker_is_running": queries.worker_is_running().run(),
    }


def _may_talk(identity: Identity, session: Any) -> bool:
    """A sub-agent's conversation takes messages from its parent alone, and answers from everybody. One that has no
    assistant yet has nobody who would answer."""
    return _may_answer(identity, session) and session["parent_id"] is None and session["assistant_id"] is not None


def _may_answer(identity: Identity, session: Any) -> bool:
    return identity.allows("runs:write") and session["status"] == "active"


def _owner(request: HttpRequest) -> str:
    """Whose conversations the login has and starts: a session's `user_id` is the username."""
    return request.user.get_username()
