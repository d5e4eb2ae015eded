"""An HTTP server that cuts off, refuses and forgets on demand, for the tests of fetch."""

import hashlib
import http.server
import time

DATA = bytes(range(251)) * 4000  # 1,004,000 bytes, several chunks
OTHER = b"other" + DATA[5:]


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve `server.files`, after the path's `server.trouble`: a list of 503, 404, `cut`, `slow`, `unsized`, ..."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        queue = self.server.trouble.get(self.path, [])
        trouble = queue.pop(0) if queue else None
        data = self.server.files.get(self.path)
        if isinstance(trouble, int) or data is None:
            return self.reply(trouble if isinstance(trouble, int) else 404, b"")
        start, status = 0, 200
        wanted = self.headers.get("Range")
        if wanted and trouble != "no-range" and self.headers.get("If-Range") in (None, self.tag(data)):
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(data):
                return self.reply(416, b"")
        return self.reply(status, data[start:], start, trouble)

    @staticmethod
    def tag(data):
        return f'"{sum_of(data)[:8]}"'

    def reply(self, status, body, start=0, trouble=None):
        self.send_response(status)
        if trouble != "unsized":
            self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{start + len(body)}")
        if status in (200, 206) and self.server.tags:
            self.send_header("ETag", self.tag(self.server.files[self.path]))
        if trouble == "page":
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        if trouble == "slow":
            time.sleep(0.5)
        self.wfile.write(body[: len(body) // 2] if trouble == "cut" else body)
        self.close_connection = True

    def log_message(self, *args):
        """Stay quiet."""
