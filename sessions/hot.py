"""The async route of sessions: opening one."""

from core.hot import HotRequest, HotResponse, Router
from core.validation import validate
from sessions.bodies import OpenSession
from sessions.documents import session_document
from sessions.services import open_session

router = Router()


@router.route("POST", "/assistants/{assistant_id}/sessions", scope="sessions:write")
async def create(request: HotRequest) -> HotResponse:
    request.only_query()
    body = validate(OpenSession, request.json())
    session = await open_session(request.identity, request.id("assistant_id"), body).arun()
    return HotResponse(session_document(session), 201, {"location": f"/sessions/{session['id']}"})
