import dataclasses
import gzip
import hashlib
import json
import logging
import lzma
import re

import numpy as np
import pytest

from tasks import DataError, Split, make_task, retrieval
from tasks.samples import PAIR_SIZES
from tasks.sources.papers import count_documents, write_ids
from tasks.trivial import retrieval_baselines, subsample

FILES = {"train": "train", "validation": "eval", "test": "test"}
PAIR = ["1.0", "A1", "A2", "a text", "another text"]
GOLDEN = "977e16c70f65b661c43a21a1dc73dfa38d6922de06305b2680e5288e8b8bbbf0"


def decode(row):
    """Return the bytes of a row of ids, whose padding is at the end only."""
    ids = row.tolist()
    length = len(ids) - ids.count(0)
    assert not any(ids[length:])
    return bytes(token - 1 for token in ids[:length])


def line(*columns):
    return "\t".join(columns)


def write_pairs(folder, lines, end="\n", **others):
    """Write the release's three files of the same lines, except for `others`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, name in FILES.items():
        content = end.join([*others.get(split, lines), ""]).encode("latin-1")
        (folder / f"new_aan_pairs.{name}.tsv").write_bytes(content)
    return folder


@pytest.fixture
def any_count(monkeypatch):
    """Take files with any number of lines for whole ones."""
    counts = dict.fromkeys(FILES, 0)
    part = dataclasses.replace(retrieval.PART, counts=counts)
    monkeypatch.setattr(retrieval, "PART", part)


def official(directory, **options):
    return make_task(
        "retrieval", **({"directory": str(directory), "length": 12} | options)
    )


PAPERS = {"A1": "first paper", "A2": "second one, which is long", "A3": "café"}


def write_papers(folder, pairs=("1\tA1\tA2", "0\tA3\tA1"), papers=None, packed=()):
    folder.mkdir(parents=True, exist_ok=True)
    if papers is None:
        papers = [
            json.dumps({"id": k, "text": v, "year": 1}) for k, v in PAPERS.items()
        ]
    files = {"aan_papers.jsonl": papers}
    files |= {f"aan_pairs.{name}.tsv": pairs for name in FILES.values()}
    pack = {".gz": gzip.compress, ".xz": lzma.compress, "": bytes}
    for name, lines in files.items():
        ending = dict(packed).get(name.rpartition(".")[2], "")
        content = pack[ending]("\n".join([*lines, ""]).encode())
        (folder / (name + ending)).write_bytes(content)
    return folder


def papers(directory, **options):
    options = {"source": "papers", "directory": str(directory), "length": 12} | options
    return make_task("retrieval", **options)


# --- The task -------------------------------------------------------------------------


@pytest.mark.usefixtures("any_count")
@pytest.mark.parametrize("source", ["official", "papers", "sample"])
def test_the_task_states_the_facts_of_its_splits(tmp_path, source):
    write_pairs(tmp_path / "official", [line(*PAIR)])
    write_papers(tmp_path / "papers")
    task = make_task("retrieval", source=source, directory=str(tmp_path / source))
    for split in task.read(tmp_path).values():
        assert split.inputs.shape == (len(split), 2, 4_000)
        assert split.inputs.dtype == np.uint8 and split.labels.dtype == np.int32
        assert set(split.labels.tolist()) <= {0, 1}
        assert (split.inputs[:, :, 0] > 0).all()
    facts = (task.vocab_size, task.num_classes, task.num_documents, task.pad_id)
    assert facts == (257, 2, 2, 0)
    assert (task.name, task.source, task.max_length) == ("retrieval", source, 4_000)
    assert task.verify is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "offical"}, "did you mean 'official'"),
        ({"length": 0}, "length is 0, but must be at least 1"),
        ({"num_train": -1}, "num_train is -1, but must be at least 0"),
        ({"num_validation": -1}, "num_validation is -1"),
        ({"num_test": -1}, "num_test is -1"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make_task("retrieval", **options)


@pytest.mark.parametrize("source", ["official", "papers"])
@pytest.mark.parametrize("place", ["", "nowhere", "empty"])
def test_missing_data_are_named_with_the_ways_out(tmp_path, source, place):
    (tmp_path / "empty").mkdir()
    directory = str(tmp_path / place) if place else ""
    with pytest.raises(DataError) as caught:
        make_task("retrieval", source=source, directory=directory)
    said = str(caught.value)
    assert "pairs.train.tsv" in said or "papers*.jsonl" in said
    assert "data= is a folder" in said and "docs/data.md" in said
    assert re.search("source='?sample", said) and "\n" not in said


def test_a_document_is_its_first_bytes_and_the_byte_plus_one():
    row = np.zeros(6, np.uint8)
    write_ids(row, "aé".encode(), "here")
    assert row.tolist() == [98, 0xC3 + 1, 0xA9 + 1, 0, 0, 0]
    row[:] = 0
    write_ids(row, b"\x00\xfelonger", "here")
    assert row.tolist() == [1, 255, *(byte + 1 for byte in b"long")]


def test_documents_are_counted_by_split():
    ids = {"train": [b"a", b"b", b"c", b"a"], "validation": [b"d", b"d", b"e"]}
    ids["test"] = [b"b", b"c", b"x"]
    assert count_documents(ids) == {
        "distinct": {"train": 3, "validation": 2, "test": 3},
        "also_in_train": {"validation": 0, "test": 2},
    }


# --- The pairs of the release ---------------------------------------------------------


@pytest.mark.usefixtures("any_count")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_pairs_come_out_as_they_are_in_the_files(tmp_path, end):
    lines = [
        line("1.0", "A", "B", 'say "x', "tab-free ' text"),
        line("0.0", "C", "A", "x", "\x00\xfe\x85 not UTF-8, but bytes"),
        line("1", "C", "C", " ", "exactly 12 b"),
        line("0", "D", "E", "# y", "last"),
    ]
    write_pairs(tmp_path / "lra_release" / "tsv_data", lines, end)
    for split in official(tmp_path).read(tmp_path).values():
        assert split.labels.tolist() == [1, 0, 1, 0]
        documents = [[decode(row) for row in pair] for pair in split.inputs]
        assert documents == [
            [b'say "x', b"tab-free ' t"],
            [b"x", b"\x00\xfe\x85 not UTF-"],
            [b" ", b"exactly 12 b"],
            [b"# y", b"last"],
        ]


@pytest.mark.usefixtures("any_count")
def test_splits_come_from_their_files_and_sizes_bound_them(tmp_path):
    lines = {
        split: [line(label, "A", "B", split, f"{split} {i}") for i in range(5)]
        for split, label in zip(FILES, "010", strict=True)
    }
    write_pairs(tmp_path, [], **lines)
    sizes = {"num_train": 2, "num_validation": 9, "num_test": 0}
    splits = official(tmp_path, length=20, **sizes).read(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 2,
        "validation": 5,
        "test": 5,
    }
    for name, split in splits.items():
        assert (split.labels == (name == "validation")).all()
        for index, (first, second) in enumerate(split.inputs):
            assert decode(first) == name.encode()
            assert decode(second) == f"{name} {index}".encode()


def test_lines_beyond_the_bound_are_not_looked_at(tmp_path):
    write_pairs(tmp_path, [line(*PAIR), "damaged"])
    sizes = dict.fromkeys(["num_train", "num_validation", "num_test"], 1)
    splits = official(tmp_path, **sizes).read(tmp_path)
    assert {len(split) for split in splits.values()} == {1}


@pytest.mark.usefixtures("any_count")
def test_inputs_are_mapped_to_files_in_the_scratch_folder(tmp_path):
    write_pairs(tmp_path / "tsv_data", [line(*PAIR)])
    (tmp_path / "scratch").mkdir()
    for split in official(tmp_path).read(tmp_path / "scratch").values():
        assert isinstance(split.inputs, np.memmap)
        assert tmp_path / "scratch" in type(tmp_path)(split.inputs.filename).parents


@pytest.mark.usefixtures("any_count")
@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        pytest.param("", "no column id1, id2, text1, text2", id="blank line"),
        pytest.param(line(*PAIR[:4]), "no column text2", id="missing column"),
        pytest.param(line(*PAIR, ""), "6 columns, more than 5", id="too many"),
        pytest.param(line("2.0", *PAIR[1:]), "label '2.0' is not 0 or 1", id="two"),
        pytest.param(line("", *PAIR[1:]), "label '' is not", id="empty label"),
        pytest.param(line("0.5", *PAIR[1:]), "label '0.5' is not", id="half"),
        pytest.param(line("nan", *PAIR[1:]), "label 'nan' is not", id="not a number"),
        pytest.param(line("-1", *PAIR[1:]), "label '-1' is not", id="negative"),
        pytest.param(line("cites", *PAIR[1:]), "label 'cites' is not", id="word"),
        pytest.param(line("\xe9", *PAIR[1:]), "label '\ufffd' is not", id="byte"),
        pytest.param(line(*PAIR[:3], "", "x"), "text1 is empty", id="no first text"),
        pytest.param(line(*PAIR[:3], "x", ""), "text2 is empty", id="no second text"),
        pytest.param(
            line(*PAIR[:3], "x", "ab\xff"), "text2: byte 3 is 0xFF", id="no such id"
        ),
    ],
)
@pytest.mark.parametrize("split", FILES)
def test_a_damaged_line_is_named_by_file_and_number(tmp_path, split, damaged, message):
    good = line(*PAIR)
    write_pairs(tmp_path, [good], **{split: [good, good, damaged, good]})
    pattern = rf"new_aan_pairs\.{FILES[split]}\.tsv:3: .*{message}"
    with pytest.raises(DataError, match=pattern):
        official(tmp_path).read(tmp_path)


@pytest.mark.usefixtures("any_count")
def test_an_empty_file_is_named(tmp_path):
    write_pairs(tmp_path, [line(*PAIR)])
    (tmp_path / "new_aan_pairs.eval.tsv").write_bytes(b"")
    with pytest.raises(DataError, match=r"eval\.tsv:1: no examples"):
        official(tmp_path).read(tmp_path)


@pytest.mark.usefixtures("any_count")
def test_documents_shared_by_splits_are_counted_and_kept(tmp_path, caplog):
    write_pairs(tmp_path, [line(*PAIR)], test=[line("0", "A2", "A9", "x", "y")])
    with caplog.at_level(logging.INFO):
        splits = official(tmp_path).read(tmp_path)
    assert all(len(split) == 1 for split in splits.values())
    assert "'also_in_train': {'validation': 2, 'test': 1}" in caplog.text


def test_provenance_tells_apart_what_has_other_bytes(tmp_path):
    write_pairs(tmp_path, [line(*PAIR)])
    variants = [{}, {"length": 11}, {"num_train": 1}, {"num_test": 1}]
    texts = [json.dumps(official(tmp_path, **each).provenance) for each in variants]
    assert json.dumps(official(tmp_path).provenance) == texts[0]
    content = b"0\tA\tB\tx\ty\n"
    (tmp_path / "new_aan_pairs.test.tsv").write_bytes(content)
    provenance = official(tmp_path).provenance
    assert len({*texts, json.dumps(provenance)}) == len(variants) + 1
    assert provenance["files"]["test"] == {
        "name": "new_aan_pairs.test.tsv",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_file_with_fewer_pairs_than_the_release_is_refused(tmp_path):
    write_pairs(tmp_path, [line(*PAIR)] * 2)
    with pytest.raises(DataError, match=r"train\.tsv: 2 .* release has 147,086"):
        official(tmp_path).read(tmp_path)
    bounds = {"num_train": 2, "num_validation": 2, "num_test": 1}
    assert len(official(tmp_path, **bounds).read(tmp_path)["train"]) == 2
    with pytest.raises(DataError, match=r"eval\.tsv: 2 .* release has 18,090"):
        official(tmp_path, **bounds | {"num_validation": 3}).read(tmp_path)


@pytest.mark.usefixtures("any_count")
def test_a_torn_last_line_is_refused(tmp_path):
    file = write_pairs(tmp_path, [line(*PAIR)] * 2) / "new_aan_pairs.test.tsv"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(
        DataError, match=r"test\.tsv:2: the last line has no line break"
    ):
        official(tmp_path).read(tmp_path)


@pytest.mark.usefixtures("any_count")
def test_a_byte_order_mark_is_skipped(tmp_path):
    write_papers(write_pairs(tmp_path, [line(*PAIR)]))
    for file in (*tmp_path.glob("*.tsv"), *tmp_path.glob("*.jsonl")):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert official(tmp_path).read(tmp_path)["train"].labels.tolist() == [1]
    for file in tmp_path.glob("new_*"):
        file.unlink()
    assert papers(tmp_path).read(tmp_path)["train"].labels.tolist() == [1, 0]


# --- Other papers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "packed", [{}, {"jsonl": ".xz", "tsv": ".gz"}, {"jsonl": ".gz"}]
)
def test_pairs_of_papers_come_out_as_they_are_in_the_files(tmp_path, packed):
    write_papers(tmp_path, packed=packed)
    for split in papers(tmp_path).read(tmp_path).values():
        assert split.labels.tolist() == [1, 0]
        documents = [[decode(row) for row in pair] for pair in split.inputs]
        assert documents == [
            [b"first paper", b"second one, "],
            ["café".encode(), b"first paper"],
        ]


def test_sizes_bound_the_pairs_of_papers(tmp_path):
    write_papers(tmp_path, ["1\tA1\tA2"] * 5 + ["damaged"])
    sizes = {"num_train": 2, "num_validation": 5, "num_test": 1}
    splits = papers(tmp_path, **sizes).read(tmp_path)
    assert [len(split) for split in splits.values()] == [2, 5, 1]


def test_provenance_counts_the_papers_that_splits_share(tmp_path):
    write_papers(tmp_path, packed={"jsonl": ".xz"})
    (tmp_path / "aan_pairs.test.tsv").write_text("0\tA2\tA2\n")
    (tmp_path / "aan_pairs.train.tsv").write_text("0\tA2\tA3\n")
    provenance = json.loads(json.dumps(papers(tmp_path).provenance))
    assert provenance["documents"] == {
        "distinct": {"train": 2, "validation": 3, "test": 1},
        "also_in_train": {"validation": 2, "test": 1},
    }
    assert provenance["files"]["papers"]["name"] == "aan_papers.jsonl.xz"
    assert set(provenance["files"]) == {"papers", *FILES}


def test_several_files_of_one_role_are_named(tmp_path):
    write_papers(tmp_path)
    write_papers(tmp_path, packed={"tsv": ".gz"})
    with pytest.raises(DataError, match=r"aan_pairs.train.tsv, aan_pairs.train.tsv.gz"):
        papers(tmp_path)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        pytest.param("1\tA1", "2 columns, not label, id and id", id="missing column"),
        pytest.param("1\tA1\tA2\tA3", "4 columns", id="too many columns"),
        pytest.param("", "1 columns", id="blank line"),
        pytest.param("2\tA1\tA2", "label '2' is not 0 or 1", id="label"),
        pytest.param("1\tA1\tA9", "no paper has the id 'A9'", id="unknown id"),
    ],
)
def test_a_damaged_pair_is_named_by_file_and_number(tmp_path, damaged, message):
    write_papers(tmp_path, ["1\tA1\tA2", damaged])
    with pytest.raises(DataError, match=rf"aan_pairs\.train\.tsv:2: {message}"):
        papers(tmp_path).read(tmp_path)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        pytest.param("", "JSONDecodeError", id="blank line"),
        pytest.param('{"id": "A2", "text": "cut', "JSONDecodeError", id="cut short"),
        pytest.param('["A2", "text"]', "TypeError", id="not an object"),
        pytest.param('{"text": "x"}', "KeyError: 'id'", id="no id"),
        pytest.param('{"id": "A2"}', "KeyError: 'text'", id="no text"),
        pytest.param('{"id": 2, "text": "x"}', "AttributeError", id="id not a string"),
        pytest.param('{"id": "A2", "text": null}', "AttributeError", id="null text"),
        pytest.param(
            '{"id": "A2", "text": "\\ud800"}', "Unicode", id="half a character"
        ),
        pytest.param('{"id": "A2", "text": ""}', "text is empty", id="empty text"),
        pytest.param('{"id": "A1", "text": "x"}', "'A1' is also that of", id="twice"),
    ],
)
def test_a_damaged_paper_is_named_by_file_and_number(tmp_path, damaged, message):
    first = json.dumps({"id": "A1", "text": "x"})
    write_papers(tmp_path, ["1\tA1\tA1"], [first, damaged])
    with pytest.raises(DataError, match=rf"aan_papers\.jsonl:2: .*{message}"):
        papers(tmp_path).read(tmp_path)


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_a_cut_or_damaged_compressed_file_is_named(tmp_path, ending):
    write_papers(tmp_path, packed={"jsonl": ending})
    file = tmp_path / f"aan_papers.jsonl{ending}"
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for content in (whole[:-20], whole[:15], flipped, b"not compressed at all"):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"aan_papers\.jsonl.* cannot be decomp"):
            papers(tmp_path).read(tmp_path)


def test_empty_files_of_papers_and_pairs_are_named(tmp_path):
    write_papers(tmp_path, papers=[])
    (tmp_path / "aan_papers.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match=r"aan_papers\.jsonl:1: no papers"):
        papers(tmp_path).read(tmp_path)
    (tmp_path / "aan_pairs.eval.tsv").write_bytes(b"")
    with pytest.raises(DataError, match=r"aan_pairs\.eval\.tsv:1: no pairs"):
        papers(tmp_path)


# --- Made-up pairs --------------------------------------------------------------------


def sample(scratch, **options):
    return make_task("retrieval", source="sample", **options).read(scratch)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("sample"))


def test_made_up_pairs_are_what_they_were_in_the_first_release(samples):
    digest = hashlib.sha256()
    for split in samples.values():
        digest.update(split.inputs.tobytes() + split.labels.astype("<i4").tobytes())
    assert digest.hexdigest() == GOLDEN, (
        "right only on purpose, and then raise SAMPLE_VERSION as well"
    )


def test_made_up_pairs_are_all_different_and_about_balanced(samples):
    documents = np.concatenate([split.inputs for split in samples.values()])
    rows = documents.reshape(-1, documents.shape[-1])
    assert len(np.unique(rows, axis=0)) == len(rows) == 2 * sum(PAIR_SIZES.values())
    for split in samples.values():
        assert 0.4 < split.labels.mean() < 0.6


def test_fewer_made_up_pairs_are_the_first_ones(samples, tmp_path):
    few = sample(tmp_path, num_train=7, num_validation=99_999, length=50)
    assert [len(split) for split in few.values()] == [7, 100, 100]
    for name, split in few.items():
        assert (split.inputs == samples[name].inputs[: len(split), :, :50]).all()
        assert (split.labels == samples[name].labels[: len(split)]).all()


def test_made_up_pairs_can_be_told_apart_by_the_words_they_share(samples):
    split = samples["test"]
    shared = []
    for pair in split.inputs:
        words = [decode(row).split() for row in pair]
        counts = [{word: each.count(word) for word in each} for each in words]
        common = counts[0].keys() & counts[1].keys()
        shared.append(len(common) / min(map(len, counts)))
    # Words of one topic, or only those common to all topics.
    assert np.mean((np.array(shared) > 0.75) == split.labels) > 0.95


# --- Trivial baselines --------------------------------------------------------------


def test_baselines_climb_the_ladder_and_do_not_see_order_or_padding(samples):
    accuracies = retrieval_baselines(samples)
    assert list(accuracies) == ["majority class", "bag of bytes"]
    assert accuracies["majority class"] < 0.6 < 0.7 < accuracies["bag of bytes"] < 1
    generator = np.random.default_rng(0)
    shuffled = {
        name: Split(generator.permuted(split.inputs, axis=2), split.labels)
        for name, split in samples.items()
    }
    assert retrieval_baselines(shuffled) == accuracies


def test_training_pairs_of_one_class_leave_the_majority(samples):
    ones = samples["train"].labels == 1
    train = Split(samples["train"].inputs[ones], samples["train"].labels[ones])
    accuracies = retrieval_baselines({"train": train, "test": samples["test"]})
    assert accuracies["bag of bytes"] == accuracies["majority class"]


def test_at_most_twenty_thousand_training_pairs_are_read():
    assert subsample(5).tolist() == [0, 1, 2, 3, 4]
    chosen = subsample(150_000)
    assert len(np.unique(chosen)) == len(chosen) == 20_000
    assert (np.diff(chosen) > 0).all() and (subsample(150_000) == chosen).all()
    assert abs(chosen.mean() - 75_000) < 5 * 43_301 / np.sqrt(20_000)
