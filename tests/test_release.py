import gc
import gzip
import hashlib
import http.server
import io
import json
import logging
import os
import re
import tarfile
import threading

import pytest

from tasks import DataError
from tasks._release import Part, download, open_release
from tasks._release import archive as release_archive
from tasks._release.files import describe_file, note_digest

PART = Part("listops-1000", {"train": "basic_train.tsv", "test": "basic_test.tsv"})
IMAGES = Part(
    "pathfinder32/curv_contour_length_14",
    {"images": "imgs/*/*.png", "metadata": "metadata/*.npy"},
)
OUTER, INNER = "lra_release/listops-1000", "lra_release/lra_release/listops-1000"


def text_members(folder, content=b"inner"):
    return {
        f"{folder}/basic_train.tsv": content + b" train",
        f"{folder}/basic_test.tsv": content + b" test",
    }


def image_members(root, count=3):
    folder = f"{root}/{IMAGES.folder}"
    members = {f"{folder}/metadata/{i}.npy": b"%d" % i for i in range(2)}
    for index in range(2 * count):
        name = f"{folder}/imgs/{index % 2}/sample_{index // 2}.png"
        members[name] = f"{root} {index}".encode()
    return members


# The release as it is: nested and doubled folders, and much that nobody asks for.
NESTED = {
    **text_members(OUTER, b"outer"),
    "lra_release/readme.txt": b"about",
    **image_members("lra_release"),
    **text_members(INNER),
    **image_members("lra_release/lra_release"),
    "lra_release/lra_release/pathfinder32/curv_baseline/imgs/0/sample_0.png": b"easy",
    "lra_release/lra_release/listops-1000/notes.txt": b"not asked for",
}


def entry(name, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member, io.BytesIO(content)


def write_tar(path, members, mode="w:gz", odd=()):
    """Write the members, and in their midst the odd ones."""
    entries = [entry(name, content) for name, content in members.items()]
    entries[len(entries) // 2 : len(entries) // 2] = odd
    with tarfile.open(path, mode) as archive:
        for member in entries:
            archive.addfile(*member)
    return path


def write_folder(path, members):
    for name, content in members.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def opened(path, part=PART):
    return open_release(path, part, "do this")


def contents(release, scratch):
    return {role: path.read_bytes() for role, path in release.extract(scratch).items()}


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture(params=["gzip", "plain", "folder"])
def release(request, tmp_path):
    if request.param == "folder":
        return write_folder(tmp_path / "unpacked", NESTED)
    mode = "w:gz" if request.param == "gzip" else "w"
    return write_tar(tmp_path / "lra_release.gz", NESTED, mode)


# --- What is read ---------------------------------------------------------------------


def test_the_deepest_copy_is_read_from_every_form(release, scratch):
    expected = {"train": b"inner train", "test": b"inner test"}
    assert contents(opened(release), scratch) == expected
    assert dict(opened(release).stream(scratch)) == {
        "basic_train.tsv": b"inner train",
        "basic_test.tsv": b"inner test",
    }


def test_a_pattern_streams_all_images_of_one_copy(release, scratch):
    streamed = list(opened(release, IMAGES).stream(scratch))
    prefix = f"lra_release/lra_release/{IMAGES.folder}/"
    expected = {
        name.removeprefix(prefix): content
        for name, content in image_members("lra_release/lra_release").items()
    }
    assert len(streamed) == len(expected)
    assert dict(streamed) == expected


def test_all_copies_and_the_one_that_is_read_are_reported(release, scratch, caplog):
    with caplog.at_level(logging.INFO):
        reader = opened(release)
        reader.extract(scratch)
    for folder in (OUTER, INNER):
        assert folder in caplog.text
    assert f"reading {INNER}, the deepest of" in caplog.text
    copies = {OUTER, INNER}
    if release.is_dir():
        assert set(reader.describe()["copies"]) == copies
        assert reader.describe()["copy"] == INNER
    else:
        assert set(reader.copies(scratch)) == copies
        assert reader.describe()["copy"] == "deepest"


def test_an_incomplete_copy_is_passed_over(tmp_path, scratch):
    members = {**text_members(OUTER, b"outer"), f"{INNER}/basic_test.tsv": b"alone"}
    expected = {"train": b"outer train", "test": b"outer test"}
    assert contents(opened(write_folder(tmp_path / "a", members)), scratch) == expected
    assert contents(opened(write_tar(tmp_path / "b", members)), scratch) == expected


def test_of_equally_deep_copies_the_first_by_name_is_read(tmp_path, scratch):
    members = {}
    for name in ("b", "a", "c"):
        members |= text_members(f"{name}/listops-1000", name.encode())
    archive = opened(write_tar(tmp_path / "archive", members))
    assert contents(archive, scratch)["test"] == b"a test"
    folder = opened(write_folder(tmp_path / "folder", members))
    assert contents(folder, scratch)["test"] == b"a test"


@pytest.mark.parametrize("inside", ["", "lra_release", INNER])
def test_any_folder_above_the_files_will_do(tmp_path, scratch, inside):
    folder = write_folder(tmp_path, NESTED) / inside
    assert contents(opened(folder), scratch)["train"] == b"inner train"


def test_the_folder_of_the_files_may_have_any_name(tmp_path, scratch):
    write_folder(tmp_path, text_members("renamed"))
    assert contents(opened(tmp_path / "renamed"), scratch)["test"] == b"inner test"


def test_a_folder_may_hold_the_archive(tmp_path, scratch):
    write_tar(tmp_path / "lra_release.gz", NESTED)
    assert contents(opened(str(tmp_path)), scratch)["train"] == b"inner train"


def test_names_that_only_end_alike_are_not_taken(tmp_path, scratch):
    members = {
        **text_members("old-listops-1000", b"wrong"),
        **{f"{name}.bak": b"wrong" for name in text_members("listops-1000")},
        **text_members("listops-1000/deeper", b"wrong"),
        **text_members("./listops-1000", b"right"),
    }
    archive = opened(write_tar(tmp_path / "archive", members))
    assert contents(archive, scratch)["test"] == b"right test"
    assert len(archive.copies(scratch)) == 1


def test_only_what_is_needed_is_unpacked_and_only_to_the_scratch_folder(tmp_path):
    archive, scratch = tmp_path / "lra_release.gz", tmp_path / "scratch"
    scratch.mkdir()
    opened(write_tar(archive, NESTED)).extract(scratch)
    files = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {
        "lra_release.gz",
        "release_index.json",
        "basic_train.tsv",
        "basic_test.tsv",
    }
    assert {file.name for file in tmp_path.iterdir()} == {"lra_release.gz", "scratch"}


def test_long_names_and_many_members_are_read_in_constant_memory(tmp_path, scratch):
    deep = "/".join(["a_folder_with_a_long_name"] * 12)
    members = {f"{deep}/{i}": b"" for i in range(300)} | text_members(
        f"{deep}/listops-1000"
    )
    path = write_tar(tmp_path / "archive", members)
    assert contents(opened(path), scratch)["test"] == b"inner test"
    with release_archive._opened(path) as found:
        for _ in range(200):
            next(found)
        # tarfile would keep every header it has met.
        headers = (isinstance(each, tarfile.TarInfo) for each in gc.get_objects())
        assert sum(headers) < 100


# --- Interruptions --------------------------------------------------------------------


def test_an_interrupted_read_goes_on_from_the_index(tmp_path, scratch, monkeypatch):
    release = opened(write_tar(tmp_path / "archive", NESTED))
    check = release_archive._check_with_tarfile

    def interrupt_at_the_second_file(member, *others):
        check(member, *others)
        if "test" in member.name:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        release_archive, "_check_with_tarfile", interrupt_at_the_second_file
    )
    with pytest.raises(KeyboardInterrupt):
        release.extract(scratch)
    assert not (scratch / "release").exists()
    monkeypatch.undo()
    monkeypatch.delattr(release_archive.ArchivedRelease, "_find_copies")
    assert contents(release, scratch)["test"] == b"inner test"


def test_what_is_unpacked_is_not_unpacked_again(tmp_path, scratch):
    path = write_tar(tmp_path / "archive", NESTED)
    release = opened(path)
    before = release.extract(scratch)
    path.unlink()
    assert release.extract(scratch) == before


def test_an_index_of_another_archive_or_part_is_not_used(tmp_path, scratch):
    path = write_tar(tmp_path / "archive", NESTED)
    opened(path).copies(scratch)
    assert len(list(opened(path, IMAGES).stream(scratch))) == 8
    write_tar(path, text_members("listops-1000"))
    assert list(opened(path).copies(scratch)) == ["listops-1000"]


def test_an_archive_that_shrinks_between_the_passes_is_noticed(tmp_path, scratch):
    release = opened(write_tar(tmp_path / "archive", NESTED))
    index = {"copies": release.copies(scratch)}
    write_tar(tmp_path / "archive", text_members(OUTER))
    status = release.path.stat()
    part = {"folder": PART.folder, "files": PART.files}
    index["identity"] = [status.st_size, status.st_mtime_ns, part]
    (scratch / "release_index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="changed while it was read"):
        release.extract(scratch)


# --- What is refused ------------------------------------------------------------------


ODD_MEMBERS = {
    "parent": entry("../evil", b"!"),
    "parent inside": entry("lra_release/../../evil", b"!"),
    "parent of a wanted file": entry("../listops-1000/basic_train.tsv", b"!"),
    "absolute": entry("/tmp/evil", b"!"),
    "absolute wanted file": entry("/listops-1000/basic_train.tsv", b"!"),
    "symlink": entry("listops-1000", type=tarfile.SYMTYPE, linkname="/etc"),
    "symlink to a file": entry(
        f"{INNER}/basic_train.tsv", type=tarfile.SYMTYPE, linkname="/etc/hostname"
    ),
    "hard link": entry("evil", type=tarfile.LNKTYPE, linkname="lra_release/readme.txt"),
    "character device": entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": entry("disk", type=tarfile.BLKTYPE),
    "pipe": entry("pipe", type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("odd", ODD_MEMBERS)
def test_an_archive_with_an_unsafe_member_is_refused(tmp_path, scratch, odd):
    member, stream = ODD_MEMBERS[odd]
    stream.seek(0)
    path = write_tar(tmp_path / "archive", NESTED, odd=[(member, stream)])
    with pytest.raises(DataError, match="refused, as the member") as caught:
        opened(path).extract(scratch)
    assert repr(member.name) in str(caught.value)
    assert not list(scratch.iterdir())
    assert {file.name for file in tmp_path.iterdir()} == {"archive", "scratch"}


def test_the_filter_of_tarfile_is_asked_as_well(tmp_path, scratch, monkeypatch):
    def refuse(member, folder):
        assert str(scratch) in folder
        raise tarfile.OutsideDestinationError(member, folder)

    release = opened(write_tar(tmp_path / "archive", NESTED))
    monkeypatch.setattr(tarfile, "data_filter", refuse)
    with pytest.raises(DataError, match="refused, as the member"):
        release.extract(scratch)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_cut_anywhere_is_refused(tmp_path, scratch, mode):
    path = write_tar(tmp_path / "archive", NESTED, mode)
    whole = path.read_bytes()
    # The end of a plain tar: zeros after the last member, one block is enough.
    end = len(whole.rstrip(b"\0")) if mode == "w" else len(whole) - 1
    end = -(-end // 512) * 512 if mode == "w" else end
    for length in {*range(0, end, 512), *range(0, end, 997), end}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="not a whole tar archive|cut short"):
            opened(path).extract(scratch)
    assert not list(scratch.iterdir())


def test_a_flipped_bit_is_noticed_in_a_compressed_archive(tmp_path, scratch):
    # Level 0 stores the bytes as they are: only the checksum tells.
    stored = gzip.compress(write_tar(tmp_path / "a", NESTED, "w").read_bytes(), 0)
    damaged = stored.replace(b"inner train", b"inner trail")
    (tmp_path / "archive").write_bytes(damaged)
    with pytest.raises(DataError, match="CRC check failed"):
        opened(tmp_path / "archive").extract(scratch)


def test_a_damaged_header_is_noticed_in_a_plain_archive(tmp_path, scratch):
    path = write_tar(tmp_path / "archive", NESTED, "w")
    damaged = path.read_bytes().replace(b"lra_release/readme", b"lra_release/reabme")
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="bad checksum"):
        opened(path).extract(scratch)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"<html>no</html>" * 100, id="a page"),
        pytest.param(gzip.compress(b"no tar" * 500), id="gzip of something else"),
        pytest.param(gzip.compress(b""), id="gzip of nothing"),
        pytest.param(bytes(range(256)) * 8, id="all bytes"),
    ],
)
def test_what_is_not_a_tar_is_refused(tmp_path, scratch, content):
    path = tmp_path / "lra_release.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a whole tar archive") as caught:
        opened(path).extract(scratch)
    assert str(path) in str(caught.value)


def test_a_part_that_is_not_there_is_named_with_the_way_to_get_it(tmp_path, scratch):
    empty = tmp_path / "empty"
    empty.mkdir()
    other = write_tar(tmp_path / "other.gz", image_members("lra_release"))
    write_folder(tmp_path / "incomplete", {f"{OUTER}/basic_test.tsv": b""})
    places = [empty, tmp_path / "nowhere", "", tmp_path / "incomplete", other]
    for place in places:
        with pytest.raises(DataError) as caught:
            opened(place).extract(scratch)
        lines = str(caught.value).splitlines()
        assert len(lines) == 4
        assert "basic_train.tsv, basic_test.tsv" in lines[0]
        assert "listops-1000" in lines[0] and str(place or "empty") in lines[0]
        assert "python -m tasks._release" in lines[1] and "8.2 GB" in lines[1]
        assert "https://storage.googleapis.com/long-range-arena" in lines[1]
        assert "directory" in lines[2]
        assert lines[3] == "without the release, do this"


# --- Provenance -----------------------------------------------------------------------


def test_provenance_holds_size_and_digest_of_what_is_read(release):
    found = json.loads(json.dumps(opened(release).describe()))
    if release.is_dir():
        content = b"inner train"
        assert found["files"]["train"] == {
            "name": "basic_train.tsv",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    else:
        content = release.read_bytes()
        assert found["archive"] == {
            "name": "lra_release.gz",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def test_provenance_of_a_pattern_changes_with_every_file(tmp_path):
    folder = write_folder(tmp_path, image_members("lra_release"))
    before = opened(folder, IMAGES).describe()
    assert before["files"]["images"]["files"] == 6
    assert before["files"]["metadata"]["files"] == 2
    image = next(folder.rglob("sample_1.png"))
    for change in (
        lambda: image.write_bytes(b"other"),
        lambda: image.rename(image.with_name("sample_9.png")),
        lambda: image.with_name("sample_9.png").unlink(),
    ):
        change()
        after = opened(folder, IMAGES).describe()
        assert after["files"]["images"] != before["files"]["images"]
        before = after


def test_a_noted_digest_is_used_unless_the_file_is_newer(tmp_path):
    file = tmp_path / "archive"
    file.write_bytes(b"content")
    note_digest(file, "ab" * 32)
    assert describe_file(file)["sha256"] == "ab" * 32
    os.utime(file, ns=(0, file.with_name("archive.sha256").stat().st_mtime_ns + 1))
    computed = hashlib.sha256(b"content").hexdigest()
    assert describe_file(file)["sha256"] == computed
    file.with_name("archive.sha256").write_text("no digest\n")
    assert describe_file(file)["sha256"] == computed


# --- Downloads ------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Serve `content`, each answer cut after the next of `cuts` bytes."""

    content = bytes(range(256)) * 40
    ranges = True
    sized = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts, self.requests = [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/folder/file.gz?version=1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content, start = self.server.content, 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.server.requests.append(wanted and int(wanted[1]))
        if "missing" in self.path:
            self.send_error(404)
            return
        if wanted and self.server.ranges:
            start = int(wanted[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            self.send_response(200)
        if self.server.sized:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.wfile.write(content[start:][:cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_download_has_the_bytes_and_notes_their_digest(server, tmp_path):
    digest = hashlib.sha256(server.content).hexdigest()
    file = download(server.url, tmp_path, len(server.content), digest.upper())
    assert file == tmp_path / "file.gz"
    assert file.read_bytes() == server.content
    assert names(tmp_path) == ["file.gz", "file.gz.sha256"]
    note = (tmp_path / "file.gz.sha256").read_text()
    assert note == f"{digest}  file.gz\n"
    assert describe_file(file)["sha256"] == digest


def test_a_lost_connection_is_taken_up_where_it_was_lost(server, tmp_path):
    server.cuts = [3_000, 1, 2_000]
    file = download(server.url, tmp_path / "new" / "here")
    assert file.read_bytes() == server.content
    assert server.requests == [None, 3_000, 3_001, 5_001]


def test_an_interrupted_download_goes_on_in_the_next_call(server, tmp_path):
    server.cuts = [3_000, 0]
    with pytest.raises(DataError, match="3000 bytes lie in .*goes on from there"):
        download(server.url, tmp_path)
    assert names(tmp_path) == ["file.gz.part"]
    server.requests.clear()
    assert download(server.url, tmp_path).read_bytes() == server.content
    assert server.requests == [3_000]


def test_a_whole_part_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(server.content)
    assert download(server.url, tmp_path).read_bytes() == server.content
    assert names(tmp_path) == ["file.gz", "file.gz.sha256"]


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file.gz").write_bytes(b"there")
    digest = hashlib.sha256(b"there").hexdigest()
    assert download(server.url, tmp_path, 5, digest).read_bytes() == b"there"
    with pytest.raises(DataError, match="has 5 bytes, not 6: delete it"):
        download(server.url, tmp_path, 6)
    assert server.requests == []


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.gz.part").write_bytes(b"old")
    assert download(server.url, tmp_path).read_bytes() == server.content


def test_a_server_that_does_not_tell_the_size_is_believed(server, tmp_path):
    server.sized = False
    assert download(server.url, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("wanted", [{"num_bytes": 7}, {"digest": "0" * 64}])
def test_another_size_or_digest_leaves_no_file(server, tmp_path, wanted):
    with pytest.raises(DataError, match=r"file.gz.part has .*, not .*: delete it"):
        download(server.url, tmp_path, **wanted)
    assert names(tmp_path) == ["file.gz.part"]


def test_a_part_longer_than_the_file_is_named(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(server.content + b"more")
    with pytest.raises(DataError, match=r"416.*delete .*file\.gz\.part"):
        download(server.url, tmp_path)


def test_an_answer_other_than_the_file_is_named(server, tmp_path):
    with pytest.raises(DataError, match="missing: the server answers 404 Not Found"):
        download(f"{server.url.partition('?')[0]}/missing", tmp_path)
    assert names(tmp_path) == []


def test_no_connection_is_named_with_the_address(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as closed_at_once:
        url = closed_at_once.url
    with pytest.raises(DataError, match=f"cannot fetch {re.escape(url)}: .*refused"):
        download(url, tmp_path)
