"""What the HTTP servers of tests share: a port of loopback, a thread a connection, keep-alive, a log of requests."""
import http.server
import socketserver


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, port, handler, log):
        super().__init__(("127.0.0.1", port), handler)
        self.log = open(log, "a", encoding="utf-8", buffering=1)  # a line is there before its request is answered

    def server_bind(self):  # (HTTPServer's asks DNS who we are, which can take long.)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code="-", size="-"):
        pass

    def note(self, path, credentials):
        self.server.log.write("%s %s %s\n" % (self.command, path, credentials))

    def scheme(self):
        """Basic, Bearer, or - if there is no Authorization header."""
        return self.headers.get("Authorization", "-").split(" ")[0]

    def request_body(self):
        """All of it, which keep-alive needs in any case."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body
