"""What a server has that is no file of reads: one sentence each, and nothing is left."""

import gzip
import http.server
import threading

import pytest

SERVED = {"/good.gz": gzip.compress(b"ACGT" * 99), "/cut.gz": gzip.compress(b"ACGT" * 9999)[:-30], "/none.gz": b""}


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = SERVED.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("file", "more", "words"),
    [
        ("absent.gz", "", ["404"]),
        ("cut.gz", "", ["cut short"]),
        ("none.gz", "", ["empty"]),
        ("good.gz", "--md5 " + "0" * 32, ["MD5", "0" * 32]),
        ("good.gz", "--md5 wrong", ["MD5", "wrong"]),
        ("good.gz", "--chemistry 10xv3 --read 1", ["FASTQ"]),
    ],
)
def test_fetching(tmp_path, address, refused, file, more, words):
    refused(f"fetch {address}/{file} --out {tmp_path}/out {more}", file, *words)
    assert not list(tmp_path.iterdir())
