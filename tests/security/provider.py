"""An identity provider on loopback: keys, tokens signed by them, and the address of its key set."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.hospital.example/realms/lungs", "lungscope"
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Provider:
    """Signs tokens. `asked` counts how often its key set was read over HTTP; `down` has it answer 500."""

    def __init__(self) -> None:
        self._private: dict[str, tuple[str, Private]] = {}
        self.asked = 0
        self.down = False
        self.add("first", "RS256")

    def add(self, kid: str, algorithm: str) -> None:
        """A new key under an id."""
        private: Private
        if algorithm.startswith("ES"):
            private = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        else:
            private = rsa.generate_private_key(65537, 2048)
        self._private[kid] = (algorithm, private)

    def withdraw(self, kid: str) -> None:
        """Take a key out of the set."""
        del self._private[kid]

    def key_set(self) -> bytes:
        """The public keys (RFC 7517)."""
        return json.dumps({"keys": [self._public(kid) for kid in self._private]}).encode()

    def token(self, kid: str = "first", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is good for a minute, with further or other claims; None leaves one out."""
        algorithm, private = self._private[kid]
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "router", "exp": time.time() + 60, "scope": "lungscope:predict"}
        said = {name: value for name, value in {**said, **claims}.items() if value is not None}
        return jwt.encode(said, private, algorithm, {"kid": kid, **(header or {})})

    def _public(self, kid: str) -> dict[str, Any]:
        algorithm, private = self._private[kid]
        if isinstance(private, rsa.RSAPrivateKey):
            text = RSAAlgorithm.to_jwk(private.public_key())
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            text = ECAlgorithm.to_jwk(private.public_key())
        else:
            text = OKPAlgorithm.to_jwk(private.public_key())
        return {**json.loads(text), "kid": kid, "alg": algorithm, "use": "sig"}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The address of the key set."""
        provider = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                body = provider.key_set()
                self.send_response(500 if provider.down else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
