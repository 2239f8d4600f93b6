"""Runs whose config.json this version cannot use: one line that names file and key."""

import json
from pathlib import Path

import pytest

from lra_fnet.config import resolve
from lra_fnet.trained.restore import restore
from lra_fnet.workdir import WorkdirError
from tiny_runs import tiny_config


@pytest.mark.parametrize(
    "content",
    ["null", "[]", "{}", "x", "", '{"config": null, "data_checksum": "x"}', '"x"'],
)
def test_what_is_no_claim_is_no_run(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WorkdirError, match="no run in .*: config.json cannot be read"):
        restore(tmp_path)


def lack(config, section):
    del config[section]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["encoder"].update(width="64"), "its encoder.width is '64'"),
        (lambda c: c["encoder"].update(width=0), "encoder.width is 0; it must be >= 1"),
        (lambda c: c["encoder"].update(widht=1), "it has encoder.widht"),
        (lambda c: c.update(seed=-1), "seed is -1"),
        (lambda c: c.update(encoder=3), "it lacks encoder.width"),
        (lambda c: lack(c, "train"), "it lacks train.batch_size"),
        (lambda c: c.update(mixer="fnett"), "did you mean 'fnet'?"),
        (lambda c: c.update(recipe="quik"), "did you mean 'quick'?"),
        (lambda c: c.update(task=None), "without task or recipe"),
    ],
)
def test_a_config_of_another_version_is_named(tmp_path, change, expected):
    config = json.loads(json.dumps(resolve(tiny_config())))
    change(config)
    path = Path(tmp_path, "config.json")
    path.write_text(json.dumps({"config": config, "data_checksum": "x"}))
    with pytest.raises(WorkdirError) as caught:
        restore(tmp_path)
    assert expected in str(caught.value) and str(path) in str(caught.value)
