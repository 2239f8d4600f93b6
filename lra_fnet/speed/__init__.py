"""Measure speed: cells of mixer and length, the transform alone, steps side by side.

`python -m lra_fnet.speed` (make speed) writes one JSON file a cell,
`runs/speed/<device>/<task>-batch<batch>/<model>-<length>.json`, with these keys:

    schema                  1
    kind                    "speed"
    model, task             names
    length, width           positions and channels of an example
    batch_size              examples of a step, over all devices; smaller than asked
                            for where memory wants it
    train_steps_per_second  {"median", "low", "high", "repeats"}: of training steps;
                            low and high are the slowest and fastest repeat
    inference_seconds       the same four keys: seconds to answer one batch
    peak_memory             {"bytes", "method"}: of one device, in training
    compile_seconds         to trace and compile a training call, nothing cached
    status                  "ok", "out of memory", "slow" or "failed"
    reason                  why the batch is smaller, or there are no numbers; or ""
    limit_seconds           after which a cell is slow, its start included
    device                  {"platform", "kind", "count", "cpu_cores"}
    versions, commit        of the libraries, and of this code
    command                 what repeats the cell

Where the status is not "ok" the measured values are null. Files are whole or absent.

`make speed-fourier` (module `transform`) remakes this backend's part of
`lra_fnet/fourier_choice.json`. `make speed-compare` (module `compare`) writes
`compare.json` into the folder of the device, beside the folders of cells.
"""

SCHEMA_VERSION = 1
LIMIT = 300.0  # seconds
