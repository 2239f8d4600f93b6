"""Made-up rows in the form of GLUE's files, one data set after the other."""

import numpy as np
import pytest

from tasks import DataError, make_task
from tasks.glue import FORMS, read_tsv

# A header and a line of each: the text it holds and the label.
LINES = {
    "sst2": ("sentence\tlabel", 'a "fine film\t1', 'a "fine film', "1"),
    "cola": (None, "gj04\t0\t*\tThem went.", "Them went.", "0"),
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t10\t11\tHe said "so.\tSo he said.',
        'He said "so.\tSo he said.',
        "1",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "5\t1\t2\tWhy?\tHow come?\t0",
        "Why?\tHow come?",
        "0",
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel",
        "0\tWho?\tShe did.\tentailment",
        "Who?\tShe did.",
        "entailment",
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel",
        "0\tIt rains.\tIt is dry.\tnot_entailment",
        "It rains.\tIt is dry.",
        "not_entailment",
    ),
    "wnli": ("index\tsentence1\tsentence2\tlabel", "0\tA.\tB.\t1", "A.\tB.", "1"),
    "mnli": (
        "\t".join([*"0123456", "7", "sentence1", "sentence2", "label1", "gold_label"]),
        "\t".join([*"abcdefgh", "One.", "Two.", "neutral", "contradiction"]),
        "One.\tTwo.",
        "contradiction",
    ),
}


def write(folder, dataset, train, dev=None):
    form, header = FORMS[dataset], LINES[dataset][0]
    (folder / form.folder).mkdir()
    for name, lines in (("train.tsv", train), (form.dev, dev or train)):
        kept = [header, *lines] if header else lines
        (folder / form.folder / name).write_text("\n".join([*kept, ""]))


@pytest.mark.parametrize("dataset", FORMS)
def test_text_and_label_are_read_from_the_columns_of_each_data_set(dataset, tmp_path):
    _, line, text, label = LINES[dataset]
    write(tmp_path, dataset, [line])
    form = FORMS[dataset]
    rows = list(read_tsv(tmp_path / form.folder / "train.tsv", form))
    assert rows == [(text.encode(), form.classes.index(label))]


def test_splits_come_from_their_files_and_no_text_is_on_both_sides(tmp_path):
    train = [f"film {number % 90}\t{number % 2}" for number in range(200)]
    write(tmp_path, "sst2", train, ["other\t1", "another\t0"])
    task = make_task("glue", directory=str(tmp_path), length=16)
    splits = task.read(None)
    assert len(splits["train"]) + len(splits["validation"]) == 200
    assert len(splits["validation"]) > 5 and len(splits["test"]) == 2
    seen = {row.tobytes() for row in splits["train"].inputs}
    assert not seen & {row.tobytes() for row in splits["validation"].inputs}
    few = make_task("glue", directory=str(tmp_path / "SST-2"), length=16, num_train=7)
    parts = few.read(None)
    assert (parts["train"].inputs == splits["train"].inputs[:7]).all()
    assert (parts["validation"].inputs == splits["validation"].inputs).all()
    assert set(np.unique(splits["test"].labels)) == {0, 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no tab", r"train.tsv:3: 1 columns, SST-2 has 2"),
        ("a film\tyes", r"train.tsv:3: the label is 'yes', none of 0, 1"),
        (" \t1", r"train.tsv:3: a text is empty"),
    ],
)
def test_a_line_of_another_form_is_named(tmp_path, line, message):
    write(tmp_path, "sst2", ["fine\t1", line])
    with pytest.raises(DataError, match=message):
        make_task("glue", directory=str(tmp_path)).read(None)


def test_missing_files_and_unknown_data_sets_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*train\.tsv"):
        make_task("glue", directory=str(tmp_path))
    with pytest.raises(ValueError, match="'rtee'; did you mean 'rte'"):
        make_task("glue", directory=str(tmp_path), dataset="rtee")
    with pytest.raises(ValueError, match="source=folder needs data=DIR"):
        make_task("glue")
