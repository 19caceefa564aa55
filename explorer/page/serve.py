"""Serves the page's one file to this machine."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from runner.flags import UserError


def page_server(file: Path, port: int) -> ThreadingHTTPServer:
    """A server of a file on a port of 127.0.0.1, or on any free one for 0; UserError if it is taken or not allowed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            host, path = self.headers.get("Host", "").partition(":")[0], self.path.partition("?")[0]
            if path != "/" or host not in ("127.0.0.1", "localhost"):  # or another name that leads here
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(file.read_bytes())

        def log_message(self, format, *args):
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        reason = f"cannot be used: {error.strerror}"
        raise UserError(f"Port {port} of 127.0.0.1 {reason}. Give another --port, or 0 for any free one.") from None


def serve(file: Path, port: int) -> None:
    """Serves the page to this machine only, and blocks until Ctrl-C. Arguments and errors as `page_server`."""
    with page_server(file, port) as server:
        print(f"http://127.0.0.1:{server.server_port} shows {file}. Press Ctrl-C to stop.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
