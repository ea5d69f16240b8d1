"""Greets, and tells what it was given."""

import http.server
import json
import os

TOLD = ("GREETING", "SECRET_KEY", "SHOP_NAME", "FROM_ENV_FILE")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({name: os.environ.get(name) for name in TOLD}).encode())

    def log_message(self, *words):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
