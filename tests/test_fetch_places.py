"""Where fetch takes a file from: a licence, a person's hand, a mirror, an archive, Reprise itself."""

import io
import sys
import types
import zipfile

import pytest
from reprise.errors import RepriseError
from unreliable_server import DATA, OTHER, sum_of

pytest_plugins = ["toy_source"]


def zip_of(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members.items():
            bundle.writestr(name.replace("_up_", "../"), data)
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_listed(bench, server):
    archive = server.files["/data.bin"] = zip_of(ratings=DATA, readme=b"read")
    bench.source(bytes=len(archive), sha256=sum_of(archive), unpack="zip", members=["ratings"])
    receipt = bench.fetch()
    assert [entry["path"] for entry in receipt["files"]] == ["data.bin", "ratings"]
    assert receipt["files"][1]["sha256"] == sum_of(DATA)
    assert not (bench.folder / "readme").exists()


def test_a_hostile_archive_fails_the_fetch(bench, server):
    server.files["/data.bin"] = zip_of(_up_escaped=b"2")
    bench.source(bytes=None, sha256=None, unpack="zip")
    assert "escaped" in bench.fails().found
    assert bench.failure()["reason"].startswith("archive: ")
    assert not (bench.folder.parent / "escaped").exists()


def test_a_licence_is_refused_then_agreed(bench, server):
    bench.source(agree="toyland")
    error = bench.fails()
    assert (error.kind, server.seen) == ("licence", [])
    assert "licences=toyland" in error.reason()
    assert not bench.folder.exists()  # nothing sticks: the configuration decides again
    bench.config.licences = ("toyland",)
    bench.fetch()
    assert bench.target.read_bytes() == DATA


def test_a_gated_file_is_asked_for_then_taken_as_placed(bench, server):
    bench.source(urls=[], gated={"why": "a form", "steps": "fill in the form"})
    error = bench.fails()
    assert (error.kind, error.fix) == ("licence", "fill in the form")
    assert str(bench.target) in error.reason()
    bench.folder.mkdir(parents=True)
    bench.target.write_bytes(OTHER)
    assert sum_of(OTHER) in bench.fails().found
    bench.target.write_bytes(DATA)
    assert bench.fetch()["status"] == "official"
    assert server.seen == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [("recovered", "recovered"), ("rebuilt (same set)", "rebuilt"), ("rebuilt not byte-exact", "rebuilt")],
)
def test_a_mirror_vouches_for_other_bytes_and_the_status_says_so(bench, server, status, expected):
    bench.mirror(OTHER, status)
    receipt = bench.fetch()
    assert (receipt["status"], receipt["files"][0]["status"]) == (expected, expected)
    assert bench.target.read_bytes() == OTHER
    assert server.seen == []


@pytest.mark.parametrize("status", ["official bytes", "byte-exact", '"rebuilt, byte-exact (blob id equals)"'])
def test_official_bytes_from_a_mirror_are_official(bench, server, status):
    bench.mirror(DATA, status)
    assert bench.fetch()["status"] == "official"
    assert server.seen == []


def test_without_its_mirror_other_bytes_give_way_to_official_ones(bench):
    bench.mirror(OTHER, "recovered")
    bench.source(bytes=None, sha256=None)
    assert bench.fetch()["status"] == "recovered"
    bench.config.mirror = None
    assert bench.fetch()["status"] == "official"
    assert bench.target.read_bytes() == DATA


def test_a_mirror_whose_bytes_are_not_the_manifests_is_refused(bench, server):
    del server.files["/data.bin"]
    bench.mirror(OTHER, "recovered", claimed=OTHER[::-1])
    error = bench.fails()
    assert error.kind == "checksum"
    assert sum_of(OTHER) in error.found and sum_of(OTHER[::-1]) in error.found
    assert not bench.target.exists()


def test_a_mirror_cannot_call_other_bytes_official(bench):
    bench.mirror(OTHER, "official bytes")
    error = bench.fails()
    assert (error.kind, sum_of(OTHER) in error.found) == ("checksum", True)


def test_a_mirror_that_lacks_the_file_leaves_it_to_the_network(bench, server, tmp_path):
    bench.mirror(DATA, "official bytes")
    (tmp_path / "mirror/some/where.bin").unlink()
    bench.fetch()
    assert len(server.seen) == 1


def test_a_mirror_may_hold_a_member_in_place_of_its_archive(bench, server):
    bench.source(unpack="zip", members=["deep/ratings.dat"])
    bench.mirror(OTHER, "recovered", name="toy/ratings.dat")
    receipt = bench.fetch()
    assert [(entry["path"], entry["status"]) for entry in receipt["files"]] == [("deep/ratings.dat", "recovered")]
    assert (bench.folder / "deep/ratings.dat").read_bytes() == OTHER


def test_a_mirror_may_be_a_web_address(bench, server):
    manifest = f"file,bytes,sha256,status,public_address\na b.bin,{len(OTHER)},{sum_of(OTHER)},recovered,{bench.url}\n"
    server.files |= {"/mirror/MANIFEST.csv": manifest.encode(), "/mirror/a%20b.bin": OTHER}
    bench.config.mirror = f"{server.url}/mirror/"
    assert bench.fetch()["status"] == "recovered"
    assert bench.target.read_bytes() == OTHER


def test_a_manifest_that_cannot_be_read_is_named(bench, tmp_path):
    bench.config.mirror = str(tmp_path)
    assert "MANIFEST.csv" in bench.fails().where


def test_a_generated_source_is_written_with_its_status(bench, monkeypatch):
    def write(format, folder):
        (folder / "data.bin").write_text(f"in the format {format}")

    monkeypatch.setitem(sys.modules, "reprise.data.small_world", types.SimpleNamespace(write=write))
    bench.source(urls=[], bytes=None, sha256=None, generate="user_lists")
    assert bench.fetch()["status"] == "small-world"
    assert bench.target.read_text() == "in the format user_lists"


def test_an_unknown_source_is_answered_with_near_ones(bench):
    with pytest.raises(RepriseError, match="did you mean toy"):
        bench.fetch("toyy")
