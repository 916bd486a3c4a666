"""A mail server on a free loopback port: a little SMTP, and what it was handed."""

import socketserver
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any


@dataclass
class Letter:
    """One mail as it arrived: the envelope's addresses, and the message."""

    sender: str
    to: list[str]
    message: EmailMessage


class MailStub:
    """Takes every mail but those to addresses in `refused`, which it answers with their line."""

    def __init__(self, **refused: str) -> None:
        self.refused = {address.replace("_at_", "@"): line for address, line in refused.items()}
        self.letters: list[Letter] = []
        stub = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                stub._talk(self.rfile, self.wfile)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> "MailStub":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, incoming: Any, outgoing: Any) -> None:
        outgoing.write(b"220 stub\r\n")
        sender, to = "", list[str]()
        for line in incoming:
            verb, _, rest = line.decode().strip().partition(" ")
            answer = "250 ok"
            match verb.upper():
                case "MAIL":
                    sender, to = _address(rest), []
                case "RCPT" if (address := _address(rest)) in self.refused:
                    answer = self.refused[address]
                case "RCPT":
                    to.append(_address(rest))
                case "DATA":
                    outgoing.write(b"354 go on\r\n")
                    self.letters.append(Letter(sender, to, _message(incoming)))
                case "QUIT":
                    outgoing.write(b"221 bye\r\n")
                    return
            outgoing.write(f"{answer}\r\n".encode())


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


def _message(incoming: Any) -> EmailMessage:
    lines = []
    for line in incoming:
        if line == b".\r\n":
            break
        lines.append(line.removeprefix(b"."))
    message = message_from_bytes(b"".join(lines), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message
