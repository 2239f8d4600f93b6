#!/usr/bin/env bash
# Check the suite on an accelerator and measure the cells still missing, in order of worth.
#
#   tools/gpu_check.sh OUT [SECONDS]      results as JSON in OUT; default limit 570 s
#
# PYTHON names the interpreter (default .venv/bin/python), RECIPE the protocol (default
# lra2020), MODELS those whose speed is measured, CELLS the cells to train as
# "task:model:seeds ...". A cell that the limit interrupts keeps its checkpoint in
# OUT/runs, a table of speed its finished cells in OUT/speed: the same command goes on.
set -u
out=${1:?usage: tools/gpu_check.sh OUT [SECONDS]}
deadline=$((SECONDS + ${2:-570}))
python=${PYTHON:-.venv/bin/python}
recipe=${RECIPE:-lra2020}
models=${MODELS:-fnet transformer transformer_rope linear_transformer performer}
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
from lra_fnet.hardware import describe_device
from lra_fnet.result import library_versions
from lra_fnet.step import make_mesh
device = describe_device(make_mesh(1))
facts = {"device": device, "versions": library_versions()}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file, indent=2)
print(facts)
PYTHON

# A part of the check: at most SHARE percent of what is left, its output in OUT/NAME.log.
part() {
  local name=$1 share=$2 limit
  shift 2
  limit=$(($(left) * share / 100))
  echo "== $name, $limit s of $(left) s left"
  [ "$limit" -gt 20 ] || { echo "no time left"; return; }
  timeout -s INT -k 10 "$limit" "$@" > "$out/$name.log" 2>&1
  echo "exit $?: $(tail -n 1 "$out/$name.log")"
}

part tests 35 "$python" -m pytest -q -p no:cacheprovider \
  tests/test_fourier.py tests/test_encoder.py tests/test_mixers.py tests/test_step.py
part speed-fourier 25 "$python" -m lra_fnet.speed.transform --to="$out/fourier_choice.json"
part speed-compare 30 "$python" -m lra_fnet.speed.compare --to="$out/speed"
part speed 40 "$python" -m lra_fnet.speed --models="$models" --to="$out/speed"

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
