"""Fixtures of the tests of fetch: an unreliable server, and a source of one file on it."""

import http.server
import json
import threading
import types

import pytest
from reprise.data import download
from reprise.data.catalogue import Source
from reprise.errors import RepriseError
from reprise.stages import fetch
from unreliable_server import DATA, Handler, sum_of


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(download, "BACK_OFF", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.trouble, server.seen, server.tags = {"/data.bin": DATA}, {}, [], True
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        server.handle_error = lambda *_: None  # a client that hangs up early is what some tests are about
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def bench(server, tmp_path, monkeypatch):
    """A source `toy` of one file, and what a test needs to fetch it and look at what came of it."""

    class Bench:
        folder = tmp_path / "resources/raw/toy"
        target = folder / "data.bin"
        url = f"{server.url}/data.bin"
        config = types.SimpleNamespace(resources=str(tmp_path / "resources"), mirror=None, licences=())

        def source(self, agree=None, gated=None, generate=None, **file):
            file = {"path": "data.bin", "urls": [self.url], "bytes": len(DATA), "sha256": sum_of(DATA), **file}
            source = Source(
                key="toy",
                title="Toy",
                page="https://toy.example",
                licence={"name": "Toy licence", "redistribute": "anyone", "agree": agree},
                files=[file],
                gated=gated,
                generate=generate,
            )
            monkeypatch.setattr(fetch, "load_catalogue", lambda: {"toy": source})

        def fetch(self, source="toy"):
            fetch.main(types.SimpleNamespace(source=source), self.config)
            return json.loads((self.folder / "source.json").read_text())

        def fails(self):
            with pytest.raises(RepriseError) as caught:
                self.fetch()
            return caught.value

        def failure(self):
            return json.loads((self.folder / "failure.json").read_text())

        def mirror(self, data, status, claimed=None, name="some/where.bin"):
            folder = tmp_path / "mirror"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            row = f"{name},{len(claimed or data)},{sum_of(claimed or data)},{status},{self.url}\n"
            (folder / "MANIFEST.csv").write_text("file,bytes,sha256,status,public_address\n" + row)
            self.config.mirror = str(folder)

    bench = Bench()
    bench.source()
    return bench
