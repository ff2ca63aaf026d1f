"""A server of Git LFS for tests: gives out what lies in a repository's own store.

    lfs_server.py PORT STORE LOG    serves STORE (…/lfs/objects) at http://127.0.0.1:PORT/; a line a request in LOG, with
                                    the Authorization that it came with
"""

import http.server
import json
import os
import sys

PORT, STORE, LOG = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def place(oid):
    return os.path.join(STORE, oid[:2], oid[2:4], oid)


class Handler(http.server.BaseHTTPRequestHandler):
    def note(self):
        with open(LOG, "a", encoding="utf-8") as log:
            print(self.command, self.path, self.headers.get("Authorization", "-"), file=log)

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["objects"]
        self.note()
        objects = []
        for one in wanted:
            found = {"oid": one["oid"], "size": one["size"]}
            if os.path.exists(place(one["oid"])):
                found["actions"] = {"download": {"href": f"http://127.0.0.1:{PORT}/object/{one['oid']}"}}
            else:
                found["error"] = {"code": 404, "message": "there is none"}
            objects.append(found)
        self.answer(json.dumps({"transfer": "basic", "objects": objects}).encode(), "application/vnd.git-lfs+json")

    def do_GET(self):
        self.note()
        with open(place(self.path.rsplit("/", 1)[1]), "rb") as file:
            self.answer(file.read(), "application/octet-stream")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
