"""A small OpenID Connect issuer on a loopback port: real keys, its two public documents, and tokens."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "agent-server"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
KINDS = {"RS256": RSA, "PS512": RSA, "ES256": EC, "EdDSA": ED}


def public_jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    """The public half as the issuer's document has it."""
    document: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
    return {name: value for name, value in document.items() if name != "key_ops"} | more


class IssuerStub:
    """`documents`: what each path answers. `away`: it answers 503 to all."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[str] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stub.asked.append(self.path)
                found = stub.documents.get(self.path)
                self.send_response(503 if stub.away else 404 if found is None else 200)
                self.end_headers()
                self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"
        self.documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        }
        self.publish(*(public_jwk(key, name, kid=name) for name, key in KINDS.items()))

    def publish(self, *keys: dict[str, Any]) -> None:
        self.documents["/keys"] = {"keys": list(keys)}

    def token(
        self, sub: str = "ada", *, algorithm: str = "RS256", kid: str | None = "", key: Any = None, **claims: Any
    ) -> str:
        """A token that is good for a minute; a claim that is None is left out, and so is such a `kid`."""
        now = int(time.time())
        told = {"iss": self.url, "aud": AUDIENCE, "sub": sub, "exp": now + 60, "iat": now} | claims
        headers = {} if kid is None else {"kid": kid or algorithm}
        payload = {name: value for name, value in told.items() if value is not None}
        # Tokens that are not to be made are made too.
        return _sign(payload, key or KINDS.get(algorithm) or "", algorithm, headers)

    @contextmanager
    def running(self) -> Iterator["IssuerStub"]:
        thread = threading.Thread(target=self._http.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()


def _sign(payload: dict[str, Any], key: Any, algorithm: str, headers: dict[str, Any]) -> str:
    if algorithm == "none":
        key = None
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


def forged(header: Any, payload: bytes = b"{}", signature: bytes = b"x") -> str:
    """Three dotted parts with this header, whatever it is."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (raw, payload, signature))


def private_jwk(key: Any, **more: Any) -> dict[str, Any]:
    """A key that its owner should not have published."""
    document: dict[str, Any] = json.loads(get_default_algorithms()["RS256"].to_jwk(key))
    return document | more
