"""fetch against a server that cuts off, refuses and changes its mind; a full disk; two processes."""

import errno
import hashlib
import multiprocessing
import resource
import subprocess
from collections import Counter

import pytest
from reprise.data import download
from reprise.errors import RepriseError
from reprise.stages import fetch
from unreliable_server import DATA, OTHER, Handler, sum_of

pytest_plugins = ["toy_source"]


def ranges(server):
    return [wanted for _, wanted, _ in server.seen]


def test_a_file_comes_with_a_receipt(bench):
    receipt = bench.fetch()
    assert bench.target.read_bytes() == DATA
    assert (receipt["source"], receipt["status"], receipt["licence"]["name"]) == ("toy", "official", "Toy licence")
    assert receipt["files"] == [
        {"path": "data.bin", "url": bench.url, "bytes": len(DATA), "sha256": sum_of(DATA), "status": "official"}
    ]


def test_a_second_fetch_asks_the_network_for_nothing(bench, server):
    bench.fetch()
    bench.fetch()
    assert len(server.seen) == 1


@pytest.mark.parametrize("tags", [True, False])
def test_a_cut_off_transfer_is_resumed(bench, server, tags):
    server.tags, server.trouble["/data.bin"] = tags, ["cut"]
    bench.fetch()
    assert bench.target.read_bytes() == DATA
    assert ranges(server) == [None, f"bytes={len(DATA) // 2}-"]
    assert server.seen[1][2] == (Handler.tag(DATA) if tags else None)
    assert [path.name for path in bench.folder.glob("*.part*")] == []


def test_a_later_process_resumes_what_an_earlier_one_left(bench, server):
    bench.folder.mkdir(parents=True)
    (bench.folder / "data.bin.part").write_bytes(DATA[:300_000])
    bench.fetch()
    assert bench.target.read_bytes() == DATA
    assert ranges(server) == ["bytes=300000-"]


def test_a_finished_part_needs_no_request(bench, server):
    bench.folder.mkdir(parents=True)
    (bench.folder / "data.bin.part").write_bytes(DATA)
    bench.fetch()
    assert bench.target.read_bytes() == DATA
    assert server.seen == []


@pytest.mark.parametrize("left", [OTHER[:300_000], OTHER, OTHER + OTHER])
def test_a_part_of_other_bytes_is_given_up(bench, left):
    bench.folder.mkdir(parents=True)
    (bench.folder / "data.bin.part").write_bytes(left)
    bench.fetch()
    assert bench.target.read_bytes() == DATA


def test_a_file_that_changes_between_two_requests_is_not_mixed(bench, server):
    bench.source(bytes=None, sha256=None)
    server.files["/data.bin"], server.trouble["/data.bin"] = OTHER, ["cut"]
    original = Handler.reply

    def change_after(handler, *args, **options):
        original(handler, *args, **options)
        server.files["/data.bin"] = DATA

    server.RequestHandlerClass = type("Changing", (Handler,), {"reply": change_after})
    bench.fetch()
    assert bench.target.read_bytes() == DATA


def test_without_sum_and_tag_a_part_is_not_trusted(bench, server):
    server.tags = False
    bench.source(bytes=None, sha256=None)
    bench.folder.mkdir(parents=True)
    (bench.folder / "data.bin.part").write_bytes(OTHER[:300_000])
    bench.fetch()
    assert bench.target.read_bytes() == DATA
    assert ranges(server) == [None]


def test_a_server_without_ranges_starts_again(bench, server):
    server.trouble["/data.bin"] = ["cut", "no-range"]
    bench.fetch()
    assert bench.target.read_bytes() == DATA


def test_a_busy_server_is_asked_again(bench, server):
    server.trouble["/data.bin"] = [503, 429, 503]
    bench.fetch()
    assert len(server.seen) == 4


def test_a_server_that_stays_busy_is_given_up(bench, server):
    server.trouble["/data.bin"] = [503] * 100
    assert "HTTP 503" in bench.fails().found
    assert len(server.seen) == download.TRIES
    assert bench.failure()["reason"].startswith("network: ")


def test_404_is_not_asked_again_and_the_next_address_serves(bench, server):
    bench.source(urls=[f"{server.url}/gone.bin", bench.url])
    bench.fetch()
    assert Counter(path for path, *_ in server.seen) == {"/gone.bin": 1, "/data.bin": 1}


def test_a_failure_is_kept_until_a_fetch_succeeds(bench, server):
    del server.files["/data.bin"]
    error = bench.fails()
    assert bench.failure() == {"reason": error.reason(), "code": None, "date": bench.failure()["date"]}
    assert "HTTP 404" in error.reason()
    assert sorted(path.name for path in bench.folder.iterdir()) == [".lock", "failure.json"]
    server.files["/data.bin"] = DATA
    bench.fetch()
    assert not (bench.folder / "failure.json").exists()


def test_a_web_page_is_not_taken_for_the_file(bench, server):
    bench.source(bytes=None, sha256=None)
    server.trouble["/data.bin"] = ["page"]
    assert "a web page" in bench.fails().found


def test_wrong_bytes_are_refused_and_what_stood_there_stays(bench, server):
    bench.folder.mkdir(parents=True)
    bench.target.write_bytes(b"before")
    server.files["/data.bin"] = OTHER
    error = bench.fails()
    assert error.kind == "checksum"
    assert sum_of(OTHER) in error.found and sum_of(DATA) in error.found
    assert bench.target.read_bytes() == b"before"
    assert list(bench.folder.glob("*.part*")) == []


def test_more_bytes_than_published_are_not_read_to_the_end(bench, server):
    server.files["/data.bin"] = DATA * 20
    assert bench.fails().kind == "checksum"
    assert int(bench.failure()["reason"].split(" bytes instead")[0].split()[-1].replace(",", "")) < 2 * len(DATA)


def test_without_a_published_sum_the_first_bytes_are_trusted_and_others_refused(bench, server, caplog):
    bench.source(bytes=None, sha256=None)
    assert bench.fetch()["status"] == "official"
    assert f"trusted on first use: sha256 {sum_of(DATA)}" in caplog.text
    (bench.folder / "source.json").unlink()
    bench.target.unlink()
    server.files["/data.bin"] = OTHER
    error = bench.fails()
    assert sum_of(OTHER) in error.found and sum_of(DATA) in error.found


def test_a_published_md5_is_enough(bench, server):
    bench.source(sha256=None, md5=hashlib.md5(DATA).hexdigest())
    bench.fetch()
    assert not (bench.folder / "trusted.json").exists()
    bench.target.unlink()
    server.files["/data.bin"] = OTHER
    assert hashlib.md5(OTHER).hexdigest() in bench.fails().found


@pytest.fixture
def small_disk(bench):
    """At most 400 kB for the source: a tmpfs where that can be mounted, else a limit on the size of one file."""
    bench.folder.mkdir(parents=True)
    options = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(bench.folder)]
    try:
        mounted = subprocess.run(options, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    yield bench
    if mounted:
        subprocess.run(["umount", str(bench.folder)], check=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("trouble", [None, "unsized"])  # the lack of room shows before the transfer, or only in it
def test_a_full_disk_is_one_clear_error(small_disk, server, trouble):
    server.trouble["/data.bin"] = [trouble]
    small_disk.source(bytes=None)
    error = small_disk.fails()
    assert error.kind == "disk"
    assert "free" in error.fix
    assert not small_disk.target.exists()


def test_other_disk_errors_are_not_hidden():
    with pytest.raises(OSError, match="odd") as caught, fetch.disk_errors("x"):
        raise OSError(errno.EIO, "odd")
    assert not isinstance(caught.value, RepriseError)


def test_two_processes_download_once(bench, server):
    server.trouble["/data.bin"] = ["slow"]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=bench.fetch) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(server.seen) == 1
    assert bench.target.read_bytes() == DATA
