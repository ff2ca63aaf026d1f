#!/usr/bin/env python3
"""troubled_proxy.py PORT REGISTRY RULES LOG: passes on to the registry HOST:PORT, by http, all but what the file RULES
says, which is read anew for each request: a JSON list (empty: no trouble) of rules, of which the first is used that
matches and has times left.

  match          a regular expression for the beginning of "METHOD PATH?QUERY"
  times          how often it is used; without it, always. Whenever the file is written, it counts from the start.
  delay          waits so many seconds first
  status         answers with that, itself, and the registry hears nothing of it
  redirect       the same, with 307 or the status given, to the same path at this URL
  body           this text instead of the answer's
  headers        an object: in the answer, in place of those of the same name
  drop_headers   a list: not in the answer. Without its Content-Length it is chunked.
  close          true: ends the connection after half of the body; "before": without a word

LOG gets a line a request: method, path, and the Authorization header's first word, or -.
"""
import http.client
import json
import math
import os
import re
import sys
import threading
import time

from loopback_http import Handler, Server

KEYS = {"match", "times", "delay", "status", "redirect", "body", "headers", "drop_headers", "close"}
# Of one connection, not of what is passed on; of these, what is right for our own is made anew.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect", "content-length"}


def parsed(text):
    rules = json.loads(text) if text.strip() else []
    for rule in rules:
        if not {"match"} <= set(rule) <= KEYS:
            raise ValueError("what is %s?" % json.dumps(rule))
    return rules


class Rules:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.version = None
        self.rules, self.left = [], []

    def use(self, request):
        """The rule for it, {} if none."""
        with self.lock:
            self.refresh()
            for i, rule in enumerate(self.rules):
                if self.left[i] > 0 and re.match(rule["match"], request):
                    self.left[i] -= 1
                    return rule
            return {}

    def refresh(self):
        for last in [False] * 50 + [True]:
            with open(self.path, encoding="utf-8") as file:
                status, text = os.fstat(file.fileno()), file.read()
            version = (status.st_ino, status.st_mtime_ns, text)
            if version == self.version:
                return
            try:
                self.rules = parsed(text)
                self.left = [rule.get("times", math.inf) for rule in self.rules]
                self.version = version
                return
            except ValueError:  # perhaps half written
                if last:
                    raise
                time.sleep(0.01)


class Answer:
    def __init__(self, status, headers=(), body=b"", length=None):
        self.status = status
        self.headers = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]
        self.body = body
        self.length = length  # where it is not that of the body, as for HEAD

    def drop(self, names):
        names = {name.lower() for name in names}
        self.headers = [(name, value) for name, value in self.headers if name.lower() not in names]


class Proxy(Handler):
    def pass_on(self, body):
        connection = http.client.HTTPConnection(self.server.registry)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            if body or self.command in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            try:
                connection.send(body)
            except ConnectionError:  # it has answered without reading all
                pass
            response = connection.getresponse()
            length = response.headers.get("Content-Length") if self.command == "HEAD" else None
            return Answer(response.status, response.getheaders(), response.read(), length)
        except (OSError, http.client.HTTPException) as error:
            return Answer(502, body=("the proxy got no answer: %s\n" % error).encode())
        finally:
            connection.close()

    def answered(self, rule, body):
        if "redirect" in rule:
            answer = Answer(rule.get("status", 307), [("Location", rule["redirect"] + self.path)])
        elif "status" in rule:
            answer = Answer(rule["status"])
        else:
            answer = self.pass_on(body)
        if "body" in rule:
            answer.body, answer.length = rule["body"].encode(), None
        if answer.status not in (204, 304) and (self.command != "HEAD" or answer.length or answer.body):
            answer.headers.append(("Content-Length", answer.length or str(len(answer.body))))
        answer.drop(list(rule.get("headers", {})) + rule.get("drop_headers", []))
        answer.headers += rule.get("headers", {}).items()
        return answer

    def reply(self, answer, by_half):
        body = b"" if self.command == "HEAD" or answer.status in (204, 304) else answer.body
        is_chunked = body and not any(name.lower() == "content-length" for name, _ in answer.headers)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if is_chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if by_half:
            body = body[:len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def handle_request(self):
        body = self.request_body()
        self.note(self.path, self.scheme())
        try:
            rule = self.server.rules.use("%s %s" % (self.command, self.path))
        except (OSError, ValueError, re.error) as error:
            self.log_error("the rules: %s", error)
            self.reply(Answer(500, [], ("the rules: %s\n" % error).encode()), False)
            return
        time.sleep(rule.get("delay", 0))
        if rule.get("close") == "before":
            self.close_connection = True
            return
        try:
            self.reply(self.answered(rule, body), bool(rule.get("close")))
        except ConnectionError:  # whoever asked has gone
            self.close_connection = True

    do_HEAD = do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request


def main():
    port, registry, rules, log = sys.argv[1:]
    server = Server(int(port), Proxy, log)
    server.registry = registry
    server.rules = Rules(rules)
    server.serve_forever()


main()
