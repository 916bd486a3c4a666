"""The async route of sessions: opening one."""

from accounts.idempotency import REPLAYED, Replayed, once
from core.hot import HotRequest, HotResponse, Router
from core.mount import address
from core.validation import validate
from sessions.bodies import OpenSession
from sessions.documents import session_document
from sessions.queries import get_session
from sessions.services import open_session

router = Router()


@router.route("POST", "/assistants/{assistant_id}/sessions", scope="sessions:write", idempotent=True)
async def create(request: HotRequest) -> HotResponse:
    request.only_query()
    body = validate(OpenSession, request.json())
    asked = once(request.identity, request.headers, request.method, request.path, request.json)
    replayed = {}
    try:
        session = await open_session(request.identity, request.id("assistant_id"), body, asked).arun()
    except Replayed as earlier:
        session, replayed = await get_session(request.identity, earlier.resource_id).arun(), REPLAYED
    return HotResponse(session_document(session), 201, {"location": address(f"/sessions/{session['id']}"), **replayed})
