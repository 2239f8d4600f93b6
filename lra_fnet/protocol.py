"""What a run is: its resolved config, the hash of it, and where two configs differ."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

# Keys that do not change what one seed's trained model is.
OUTSIDE_HASH = ("run", "seed", "num_seeds")


def resolved_config(
    config: ConfigDict, mixers: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the config as plain values, with the mixers its layers use and no other.

    A baseline added to the suite does not change the configs of the others.
    """
    plain = json.loads(config.to_json_best_effort())
    return plain | {"mixers": {name: dict(mixers[name]) for name in sorted(mixers)}}


def as_config(resolved: Mapping[str, Any]) -> ConfigDict:
    """Return the config that was resolved, less the mixers of other packages.

    Their names have dots, which no key of a config may have, and their values are the
    defaults of their classes.
    """
    mixers = {k: v for k, v in resolved["mixers"].items() if "." not in k}
    return ConfigDict({**resolved, "mixers": mixers})


def config_hash(resolved: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits that name the protocol of a run, seeds aside."""
    protocol = {k: v for k, v in placeless(resolved).items() if k not in OUTSIDE_HASH}
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def placeless(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the folder of the data.

    It is another one on each machine, and the checksum says what lies there.
    """
    return {**resolved, "data": {**resolved["data"], "directory": ""}}


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ, with both values.

    >>> changes({"train": {"num_steps": 3}}, {"train": {"num_steps": 4}})
    {'train.num_steps': (3, 4)}
    """
    flat_old, flat_new = dict(_flat(old)), dict(_flat(new))
    keys = sorted(flat_old.keys() | flat_new.keys())
    pairs = {key: (flat_old.get(key), flat_new.get(key)) for key in keys}
    return {
        key: (before, after)
        for key, (before, after) in pairs.items()
        if before != after
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the keys whose values differ, as `key: old -> new`.

    >>> differences({"train": {"num_steps": 3}}, {"train": {"num_steps": 4}})
    ['train.num_steps: 3 -> 4']
    """
    return [
        f"{key}: {before} -> {after}"
        for key, (before, after) in changes(old, new).items()
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List the leaves of nested mappings with dotted keys."""
    leaves = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves += _flat(value, f"{prefix}{key}.")
        else:
            leaves.append((prefix + key, value))
    return leaves
