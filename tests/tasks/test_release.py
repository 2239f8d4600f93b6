import hashlib
import json
import logging

import pytest

from tasks import DataError
from tasks.sources.release import Part, open_release

PART = Part(
    "listops-1000",
    {"train": "basic_train.tsv", "test": "basic_test.tsv"},
    instead="do this",
)
IMAGES = Part(
    "pathfinder32/curv_contour_length_14",
    {"images": "imgs/*/*.png", "metadata": "metadata/*.npy"},
    instead="do that",
)
OUTER, INNER = "lra_release/listops-1000", "lra_release/lra_release/listops-1000"


def text_files(folder, content=b"inner"):
    return {
        f"{folder}/basic_train.tsv": content + b" train",
        f"{folder}/basic_test.tsv": content + b" test",
    }


def image_files(root, count=3):
    folder = f"{root}/{IMAGES.folder}"
    files = {f"{folder}/metadata/{i}.npy": b"%d" % i for i in range(2)}
    for index in range(2 * count):
        name = f"{folder}/imgs/{index % 2}/sample_{index // 2}.png"
        files[name] = f"{root} {index}".encode()
    return files


# The release as it is: nested and doubled folders, and much that nobody asks for.
NESTED = {
    **text_files(OUTER, b"outer"),
    "lra_release/readme.txt": b"about",
    **image_files("lra_release"),
    **text_files(INNER),
    **image_files("lra_release/lra_release"),
    "lra_release/lra_release/pathfinder32/curv_baseline/imgs/0/sample_0.png": b"easy",
    "lra_release/lra_release/listops-1000/notes.txt": b"not asked for",
}


def write(path, files):
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write(tmp_path_factory.mktemp("unpacked"), NESTED)


def contents(folder, part=PART):
    opened = open_release(folder, part)
    return {role: opened.file(role).read_bytes() for role in part.files}


def test_the_deepest_copy_is_read(release):
    assert contents(release) == {"train": b"inner train", "test": b"inner test"}
    streamed = list(open_release(release, PART).stream("test"))
    assert streamed == [("basic_test.tsv", b"inner test")]


def test_a_pattern_streams_all_images_of_one_copy(release):
    opened = open_release(release, IMAGES)
    streamed = [*opened.stream("images"), *opened.stream("metadata")]
    prefix = f"lra_release/lra_release/{IMAGES.folder}/"
    expected = {
        name.removeprefix(prefix): content
        for name, content in image_files("lra_release/lra_release").items()
    }
    assert len(streamed) == len(expected)
    assert dict(streamed) == expected


def test_all_copies_and_the_one_that_is_read_are_reported(release, caplog):
    with caplog.at_level(logging.INFO):
        described = open_release(release, PART).describe()
    assert f"reading {INNER}, the deepest of: " in caplog.text
    assert OUTER in caplog.text
    assert set(described["copies"]) == {OUTER, INNER}
    assert described["copy"] == INNER


def test_an_incomplete_copy_is_passed_over(tmp_path):
    write(tmp_path, text_files(OUTER, b"outer") | {f"{INNER}/basic_test.tsv": b"alone"})
    assert contents(tmp_path) == {"train": b"outer train", "test": b"outer test"}


def test_of_equally_deep_copies_the_first_by_name_is_read(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path, text_files(f"{name}/listops-1000", name.encode()))
    assert contents(tmp_path)["test"] == b"a test"


@pytest.mark.parametrize("inside", ["", "lra_release", INNER])
def test_any_folder_above_the_files_will_do(release, inside):
    assert contents(str(release / inside))["train"] == b"inner train"


def test_the_folder_of_the_files_may_have_any_name(tmp_path):
    write(tmp_path, text_files("renamed"))
    assert contents(tmp_path / "renamed")["test"] == b"inner test"


def test_names_that_only_end_alike_are_not_taken(tmp_path):
    write(tmp_path, text_files("old-listops-1000", b"wrong"))
    write(tmp_path, text_files("listops-1000/deeper", b"wrong"))
    files = text_files("listops-1000", b"right")
    write(tmp_path, files | {f"{name}.bak": b"wrong" for name in files})
    assert open_release(tmp_path, PART).copies == ("listops-1000",)
    assert contents(tmp_path)["test"] == b"right test"


def test_a_part_that_is_not_there_is_named_with_the_way_to_get_it(tmp_path):
    write(tmp_path / "incomplete", {f"{OUTER}/basic_test.tsv": b""})
    write(tmp_path, {"empty/readme": b"", "lra_release.gz": b"an archive"})
    names = ("empty", "nowhere", "incomplete", "lra_release.gz")
    for place in ("", *(tmp_path / name for name in names)):
        with pytest.raises(DataError) as caught:
            open_release(place, PART)
        said = str(caught.value)
        assert (
            "basic_train.tsv, basic_test.tsv together in a folder listops-1000" in said
        )
        assert str(place or "empty") in said and "docs/data.md says how" in said
        assert said.endswith("without it, do this") and "\n" not in said
    assert "is a file: unpack it" in str(caught.value)


def test_provenance_holds_size_and_digest_of_what_is_read(release):
    found = json.loads(json.dumps(open_release(release, PART).describe()))
    content = b"inner train"
    assert found["files"]["train"] == {
        "name": "basic_train.tsv",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_provenance_of_a_pattern_changes_with_every_file(tmp_path):
    folder = write(tmp_path, image_files("lra_release"))
    before = open_release(folder, IMAGES).describe()
    assert before["files"]["images"]["files"] == 6
    assert before["files"]["metadata"]["files"] == 2
    image = next(folder.rglob("sample_1.png"))
    for change in (
        lambda: image.write_bytes(b"other"),
        lambda: image.rename(image.with_name("sample_9.png")),
        lambda: image.with_name("sample_9.png").unlink(),
    ):
        change()
        after = open_release(folder, IMAGES).describe()
        assert after["files"]["images"] != before["files"]["images"]
        before = after
