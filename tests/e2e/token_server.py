#!/usr/bin/env python3
"""token_server.py PORT KEY CERTIFICATE LOG USER PASSWORD REFRESH_TOKEN: gives tokens for a registry that trusts
CERTIFICATE, the issuer "tokens", as the registry's token specification has it.

GET  ?service=&scope=... with basic credentials. Without any: 401, or, with ANONYMOUS_PULL=1 in the environment, a
     token that allows no more than pull. Wrong ones: 401. With offline_token=true the answer has the refresh token too.
POST grant_type=refresh_token&refresh_token=REFRESH_TOKEN&service=&scope=...; a wrong one: 401.

LOG gets a line a request: method, path (decoded) and how it was authorized: Basic, refresh_token, or -.
"""
import base64
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
import urllib.parse

from loopback_http import Handler, Server

LIFETIME = 300  # seconds


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(key, certificate, claims):
    header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
    text = b".".join(unpadded(json.dumps(part).encode()) for part in (header, claims))
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text, stdout=subprocess.PIPE,
                               check=True).stdout
    return (text + b"." + unpadded(signature)).decode()


def access(scopes, anonymous):
    """As claims say it, of TYPE:NAME:ACTION,ACTION with blanks between."""
    wanted = [scope.rsplit(":", 1) for scope in scopes.split()]
    claims = []
    for what, actions in wanted:
        kind, name = what.split(":", 1)
        allowed = [action for action in actions.split(",") if action == "pull" or not anonymous]
        claims.append({"type": kind, "name": name, "actions": allowed})
    return claims


class Tokens(Handler):
    def reply(self, status, answer, challenge=False):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if challenge:
            self.send_header("WWW-Authenticate", 'Basic realm="tokens"')
        self.end_headers()
        self.wfile.write(body)

    def refuse(self):
        self.reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}, challenge=True)

    def give(self, asked, user, with_refresh_token):
        now = int(time.time())
        claims = {
            "iss": "tokens",
            "sub": user,
            "aud": asked.get("service", ["registry"])[0],
            "iat": now,
            "nbf": now - 5,
            "exp": now + LIFETIME,
            "jti": secrets.token_hex(8),
            "access": access(" ".join(asked.get("scope", [])), anonymous=not user),
        }
        token = signed(self.server.key, self.server.certificate, claims)
        answer = {"token": token, "access_token": token, "expires_in": LIFETIME,
                  "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))}
        if with_refresh_token:
            answer["refresh_token"] = self.server.refresh_token
        self.reply(200, answer)

    def do_GET(self):
        self.note(urllib.parse.unquote(self.path), self.scheme())
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        given = self.headers.get("Authorization")
        if given is None:
            self.give(asked, "", False) if self.server.anonymous else self.refuse()
        elif given == "Basic " + base64.b64encode(":".join(self.server.login).encode()).decode():
            self.give(asked, self.server.login[0], asked.get("offline_token") == ["true"])
        else:
            self.refuse()

    def do_POST(self):
        asked = urllib.parse.parse_qs(self.request_body().decode())
        is_refresh = asked.get("grant_type") == ["refresh_token"]
        self.note(urllib.parse.unquote(self.path), "refresh_token" if is_refresh else self.scheme())
        if not is_refresh:
            self.reply(400, {"error": "unsupported_grant_type"})
        elif asked.get("refresh_token") == [self.server.refresh_token]:
            self.give(asked, self.server.login[0], True)
        else:
            self.refuse()


def main():
    port, key, certificate, log, user, password, refresh_token = sys.argv[1:]
    server = Server(int(port), Tokens, log)
    server.key = key
    with open(certificate, encoding="ascii") as file:
        server.certificate = base64.b64encode(ssl.PEM_cert_to_DER_cert(file.read())).decode()
    server.login = (user, password)
    server.refresh_token = refresh_token
    server.anonymous = os.environ.get("ANONYMOUS_PULL") == "1"
    server.serve_forever()


main()
