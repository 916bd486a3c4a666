"""`manage.py web`: HTTP, server-sent events and websockets."""

import sys
from argparse import ArgumentParser
from types import FrameType
from typing import Any

import uvicorn
from django.core.management.base import BaseCommand

from accounts.jwks import KeysAway
from accounts.oidc import fetch_at_start
from config.checks import refuse_start
from config.env import ENV, BadEnvironment
from config.logs import configure_logging
from config.protocols import HttpProtocol, WebSocketProtocol
from config.serve.limits import raise_open_files_limit
from runs.live import hub
from runs.sockets import MAX_FRAME_BYTES

KEEP_ALIVE_S = 30
DRAIN_S = 5  # for requests under way when the process is told to end
KEYS_S = 15.0  # for the issuer of tokens, before the start is given up


class Server(uvicorn.Server):
    """Tells its streams to come back elsewhere when it is told to stop, rather than cut them off."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        hub().hang_up()
        super().handle_exit(sig, frame)


class Command(BaseCommand):
    help = "Run the web role (HTTP, streams, websockets)."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=ENV.host)
        parser.add_argument("--port", type=int, default=ENV.port)

    def handle(self, *, host: str, port: int, **_: Any) -> None:
        refuse_start(host)
        configure_logging("web")
        raise_open_files_limit()
        try:
            fetch_at_start(KEYS_S)
        except KeysAway as fault:
            raise BadEnvironment(f"AGENT_SERVER_OIDC_ISSUER: its keys cannot be had: {fault}") from None
        config = uvicorn.Config(
            "config.asgi:application",
            host=host,
            port=port,
            loop="uvloop",
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=MAX_FRAME_BYTES,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=ENV.forwarded_allow_ips,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
        server = Server(config)
        server.run()
        if not server.started:
            sys.exit(1)
