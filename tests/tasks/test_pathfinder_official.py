import io

import numpy as np
import pytest
from PIL import Image

from lra_fnet.data import load_dataset
from tasks import DataError, make_task
from tasks.sources import release as sources_release

COUNT = 40


@pytest.fixture(autouse=True)
def small_release(monkeypatch):
    monkeypatch.setattr(sources_release, "NUM_IMAGES", COUNT)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def images_and_labels():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, 32, 32)).astype(np.uint8)
    return images, np.arange(COUNT) % 2


def release(folder, change=lambda files: None):
    """Write a release of two folders of images, as its authors lay it out."""
    images, labels = images_and_labels()
    files = {}
    for batch in (0, 1):
        lines = []
        for index in range(batch * 20, batch * 20 + 20):
            name = f"sample_{index % 20}.png"
            files[f"imgs/{batch}/{name}"] = png(images[index])
            columns = ["imgs/" + str(batch), name, index, labels[index], 1.0, 14, 4]
            lines.append(" ".join(map(str, columns)))
        files[f"metadata/{batch}.npy"] = ("\n".join(lines) + "\n").encode()
    change(files)
    base = folder / "lra_release" / "pathfinder32" / "curv_contour_length_14"
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def load(folder, root, **options):
    task = make_task("pathfinder", source="official", directory=str(folder), **options)
    return load_dataset(task, root).splits


def test_every_image_comes_with_its_label(tmp_path):
    splits = load(release(tmp_path / "release"), tmp_path / "data")
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }
    images, labels = images_and_labels()
    expected = {
        image.tobytes(): label for image, label in zip(images, labels, strict=True)
    }
    found = {
        row.tobytes(): label
        for split in splits.values()
        for row, label in zip(split.inputs, split.labels, strict=True)
    }
    assert found == expected


def test_the_empty_image_of_the_release_is_left_out(tmp_path):
    folder = release(
        tmp_path / "release", lambda files: files.update({"imgs/0/sample_7.png": b""})
    )
    splits = load(folder, tmp_path / "data")
    assert sum(len(split) for split in splits.values()) == COUNT - 1


def test_a_palette_image_is_read_as_its_brightness():
    brightness = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    image = Image.fromarray(brightness // 3, "P")
    image.putpalette([3 * index for index in range(64) for _ in "rgb"])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    pixels = sources_release.decode_png("a.png", stream.getvalue(), 8)
    assert pixels.tolist() == brightness.ravel().tolist()


def test_fewer_images_than_the_release_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources_release, "NUM_IMAGES", 1_000)
    folder = release(tmp_path / "release")
    with pytest.raises(
        DataError, match=r"pathfinder32/curv_contour_length_14: 40 .* 32 for train"
    ):
        load(folder, tmp_path / "data")
    bounds = {"num_train": 32, "num_validation": 4, "num_test": 3}
    assert len(load(folder, tmp_path / "data", **bounds)["test"]) == 3


def empty_images(files):
    files.update(dict.fromkeys([f"imgs/0/sample_{i}.png" for i in range(11)], b""))


def metadata(files, old, new):
    files["metadata/1.npy"] = files["metadata/1.npy"].replace(old, new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.update({"imgs/0/sample_3.png": b"no png"}),
            r"imgs/0/sample_3\.png is no intact PNG",
        ),
        (
            lambda f: f.update(
                {"imgs/0/sample_3.png": png(np.zeros((9, 9), np.uint8))}
            ),
            r"has shape \(9, 9\)",
        ),
        (
            lambda f: f.update({"imgs/1/sample_77.png": f["imgs/1/sample_1.png"]}),
            r"1 images have no line of metadata, such as imgs/1/sample_77\.png",
        ),
        (
            lambda f: f.pop("imgs/1/sample_3.png"),
            r"length_14: 1 lines of metadata have no image, such as imgs/1/sample_3",
        ),
        (empty_images, r"11 images are empty files, such as imgs/0/sample_0\.png"),
        (
            lambda f: metadata(f, b"sample_5.png 25 1", b"sample_5.png 25 7"),
            r"metadata/1\.npy:6: label '7' is not 0 or 1",
        ),
        (
            lambda f: metadata(f, b"sample_5.png 25 1 1.0 14 4", b"sample_5.png"),
            r"metadata/1\.npy:6: 2 columns",
        ),
        (
            lambda f: metadata(f, b" 0 1.0", b" 1 1.0"),
            r"of the labels are 1, expected about a half",
        ),
    ],
)
def test_a_damaged_release_is_a_clear_error(tmp_path, change, message):
    folder = release(tmp_path / "release", change)
    with pytest.raises(DataError, match=message):
        load(folder, tmp_path / "data")
    assert not list((tmp_path / "data").glob("pathfinder/official-*"))
