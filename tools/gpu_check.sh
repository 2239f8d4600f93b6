#!/usr/bin/env bash
# Check the suite on an accelerator and measure the cells still missing, in order of worth.
#
#   tools/gpu_check.sh OUT [SECONDS]      results as JSON in OUT; default limit 570 s
#
# PYTHON names the interpreter (default .venv/bin/python), RECIPE the protocol (default
# lra2020), CELLS the cells as "task:model:seeds ...". A cell that the limit interrupts
# keeps its checkpoint in OUT/runs, and the same command goes on with it.
set -u
out=${1:?usage: tools/gpu_check.sh OUT [SECONDS]}
deadline=$((SECONDS + ${2:-570}))
python=${PYTHON:-.venv/bin/python}
recipe=${RECIPE:-lra2020}
cells=${CELLS:-listops:fnet:3 listops:transformer:3 pathfinder:fnet:1}
cd "$(dirname "$0")/.." || exit 1
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
export LRA_DATA=${LRA_DATA:-$out/data} PYTHONUNBUFFERED=1

left() { echo $((deadline - SECONDS)); }

echo "== device"
"$python" - "$out/device.json" <<'PYTHON' || exit 1
import json, sys
import jax
from lra_fnet.device import describe_device
from lra_fnet.result import library_versions
from lra_fnet.step import make_mesh
device = describe_device(make_mesh(1))
facts = {"device": device, "versions": library_versions()}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file, indent=2)
print(facts)
PYTHON

echo "== tests"
timeout "$(left)" "$python" -m pytest -q -p no:cacheprovider \
  tests/test_fourier.py tests/test_encoder.py tests/test_mixers.py tests/test_step.py \
  > "$out/tests.log" 2>&1
echo "exit $?: $(tail -n 1 "$out/tests.log")" | tee "$out/tests.txt"

for cell in $cells; do
  IFS=: read -r task model seeds <<< "$cell"
  echo "== $task $model, $seeds seeds, $(left) s left"
  [ "$(left)" -gt 30 ] || { echo "no time left"; break; }
  workdir="$out/runs/$task-$model-$recipe"
  timeout -s TERM "$(left)" "$python" -m lra_fnet.main \
    --config="configs/$task.py:$recipe" --config.model="$model" \
    --config.num_seeds="$seeds" --workdir="$workdir" 2>&1 | tail -n 25
  find "$workdir" -name result.json | while read -r result; do
    name=$(basename "$(dirname "$result")")
    cp "$result" "$out/$task-$model-$recipe-$name.json"
  done
done
echo "== results in $out"
ls "$out"/*.json
