"""Archives from strangers: unpacked whole, or refused with nothing left behind."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest
from reprise.data.archives import unpack
from reprise.errors import RepriseError

RATINGS = b"1::1193::5::978300760\n" * 5000


def zipped(path, members, **infos):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members.items():
            bundle.writestr(infos.get(name, name), data)
    return path


def tarred(path, members, mode="w"):
    with tarfile.open(path, mode) as bundle:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            bundle.addfile(info, io.BytesIO(data))
    return path


def tarred_special(path, kind, target=""):
    with tarfile.open(path, "w") as bundle:
        info = tarfile.TarInfo("innocent")
        info.type, info.linkname = kind, target
        bundle.addfile(info)
    return path


def refused(archive, folder, kind, **options):
    """Unpack, expecting a refusal that leaves `folder` as it was; return the message."""
    folder.mkdir(exist_ok=True)
    before = sorted(folder.rglob("*"))
    with pytest.raises(RepriseError) as caught:
        unpack(archive, folder, kind, **options)
    assert sorted(folder.rglob("*")) == before
    assert caught.value.kind == "archive"
    return caught.value.text()


def test_zip_gives_its_files(tmp_path):
    archive = zipped(tmp_path / "ml.zip", {"ml-1m/ratings.dat": RATINGS, "ml-1m/README": b"read"})
    written = unpack(archive, tmp_path / "out", "zip")
    assert written == [tmp_path / "out/ml-1m/ratings.dat", tmp_path / "out/ml-1m/README"]
    assert written[0].read_bytes() == RATINGS


def test_only_listed_members_are_taken(tmp_path):
    archive = zipped(tmp_path / "ml.zip", {"ml-1m/ratings.dat": RATINGS, "ml-1m/README": b"read"})
    unpack(archive, tmp_path / "out", "zip", members=["ml-1m/README"])
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["README"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_gives_its_files_compressed_or_not(tmp_path, mode):
    archive = tarred(tmp_path / "week.tar.gz", {"one_week/20170101": RATINGS, "one_week/20170102": b"{}"}, mode)
    written = unpack(archive, tmp_path / "out", "tar")
    assert [path.read_bytes() for path in written] == [RATINGS, b"{}"]


def test_gz_gives_one_file_without_the_ending(tmp_path):
    archive = tmp_path / "checkins.txt.gz"
    archive.write_bytes(gzip.compress(RATINGS))
    assert unpack(archive, tmp_path / "out", "gz") == [tmp_path / "out/checkins.txt"]
    assert (tmp_path / "out/checkins.txt").read_bytes() == RATINGS


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "/tmp/escaped", "a\\..\\escaped"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_cannot_leave_the_folder(tmp_path, kind, name):
    make = {"zip": zipped, "tar": tarred}[kind]
    message = refused(make(tmp_path / "evil", {"good": b"1", name: b"2"}), tmp_path / "out", kind)
    assert "escaped" in message
    assert not (tmp_path / "escaped").exists()


def test_an_unlisted_member_that_would_leave_condemns_the_archive(tmp_path):
    archive = zipped(tmp_path / "evil.zip", {"../escaped": b"2", "good": b"1"})
    assert "escaped" in refused(archive, tmp_path / "out", "zip", members=["good"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused(tmp_path, kind):
    archive = tarred_special(tmp_path / "evil.tar", kind, "/etc/passwd")
    assert "a link or device: 'innocent'" in refused(archive, tmp_path / "out", "tar")


def test_zip_symlinks_are_refused(tmp_path):
    link = zipfile.ZipInfo("innocent")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = zipped(tmp_path / "evil.zip", {"innocent": b"/etc/passwd"}, innocent=link)
    assert "a link or device: 'innocent'" in refused(archive, tmp_path / "out", "zip")


@pytest.mark.parametrize("kind", ["zip", "tar", "gz"])
@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_archive_is_one_clear_error(tmp_path, kind, share):
    noise = bytes(range(256)) * 200 + RATINGS
    whole = tmp_path / "whole.gz"
    if kind == "gz":
        whole.write_bytes(gzip.compress(noise))
    else:
        {"zip": zipped, "tar": lambda *args: tarred(*args, mode="w:gz")}[kind](whole, {"a": noise, "b": noise})
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    assert f"a complete {kind} archive" in refused(cut, tmp_path / "out", kind)


def test_a_tar_cut_between_two_members_is_truncated(tmp_path):
    whole = tarred(tmp_path / "whole.tar", {"a": b"x" * 512, "b": b"y" * 512})
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[: 2 * 512])  # the header and the block of `a`, nothing else
    assert "no end-of-archive mark" in refused(cut, tmp_path / "out", "tar")


def test_damaged_bytes_are_noticed(tmp_path):
    archive = zipped(tmp_path / "ml.zip", {"a": RATINGS})
    data = bytearray(archive.read_bytes())
    data[60] ^= 0xFF
    archive.write_bytes(data)
    assert "a complete zip archive" in refused(archive, tmp_path / "out", "zip")


@pytest.mark.parametrize("kind", ["zip", "tar", "gz"])
def test_a_bomb_is_stopped_by_what_comes_out(tmp_path, kind):
    zeros = bytes(3_000_000)
    archive = tmp_path / "bomb.gz"
    if kind == "gz":
        archive.write_bytes(gzip.compress(zeros))
    else:
        {"zip": zipped, "tar": lambda *args: tarred(*args, mode="w:gz")}[kind](archive, {"a": zeros})
    assert "at most 2.0 MB unpacked" in refused(archive, tmp_path / "out", kind, limit=2_000_000)
    assert unpack(archive, tmp_path / "out", kind, limit=3_000_000)[0].stat().st_size == 3_000_000


def test_a_missing_member_is_named(tmp_path):
    archive = zipped(tmp_path / "ml.zip", {"ml-1m/ratings.dat": RATINGS})
    message = refused(archive, tmp_path / "out", "zip", members=["ml-1m/ratings.dat", "ml-1m/movies.dat"])
    assert "no ml-1m/movies.dat" in message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    archive = tmp_path / "twice.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("a", b"1")
        bundle.writestr("a", b"2")
    assert "different names" in refused(archive, tmp_path / "out", "zip")


def test_what_stood_there_survives_a_bad_archive(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/good").write_bytes(b"before")
    refused(zipped(tmp_path / "evil.zip", {"good": b"after", "../escaped": b"2"}), tmp_path / "out", "zip")
    assert (tmp_path / "out/good").read_bytes() == b"before"
