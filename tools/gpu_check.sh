#!/usr/bin/env bash
# Check the suite on an accelerator and measure what is still missing, in order of worth.
#
#   tools/gpu_check.sh OUT [SECONDS]      results as JSON in OUT; default limit 570 s
#
# PYTHON names the interpreter (default .venv/bin/python), RECIPE the recipe (default
# lra2020), MIXERS and LENGTHS those whose speed is measured, TASK whose sizes the steps
# compared have (default: three), TESTS the tests, RUNS the runs to train as
# "task:mixer:seeds ...". A run that the limit interrupts keeps its checkpoint in
# OUT/runs, and speed its finished measurements in OUT/speed: repeat the command to
# continue.
set -u
out=${1:?usage: tools/gpu_check.sh OUT [SECONDS]}
deadline=$((SECONDS + ${2:-570}))
python=${PYTHON:-.venv/bin/python}
recipe=${RECIPE:-lra2020}
mixers=${MIXERS-fnet transformer transformer_rope linear_transformer performer}
runs=${RUNS-listops:fnet:3 listops:transformer:3 pathfinder:fnet:1}
tests=${TESTS:-tests/mixers tests/speed tests/test_encoder.py tests/test_step.py}
cd "$(dirname "$0")/.." || exit 1
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
export LRA_DATA=${LRA_DATA:-$out/data} PYTHONUNBUFFERED=1

left() { echo $((deadline - SECONDS)); }

echo "== device"
"$python" - "$out/device.json" <<'PYTHON' || exit 1
import sys
from pathlib import Path
from lra_fnet.result import library_versions
from lra_fnet.speed.bench import describe_devices
from lra_fnet.workdir import write_json
facts = {"device": describe_devices(), "versions": library_versions()}
write_json(Path(sys.argv[1]), facts)
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

# shellcheck disable=SC2086  # several words
part tests 35 "$python" -m pytest -q -p no:cacheprovider $tests
part speed-fourier 25 "$python" -m lra_fnet speed-fourier --to="$out/fourier_choice.json" \
  --lengths="${LENGTHS:-}"
part speed-compare 30 "$python" -m lra_fnet speed-compare --to="$out/speed" \
  --task="${TASK:-}"
part speed 40 "$python" -m lra_fnet speed --mixers="$mixers" --to="$out/speed" \
  --lengths="${LENGTHS:-}"

for run in $runs; do
  IFS=: read -r task mixer seeds <<< "$run"
  echo "== $task $mixer, $seeds seeds, $(left) s left"
  [ "$(left)" -gt 30 ] || { echo "no time left"; break; }
  workdir="$out/runs/$task-$mixer-$recipe"
  timeout -s TERM "$(left)" "$python" -m lra_fnet train --task="$task" \
    --recipe="$recipe" --mixer="$mixer" --seeds="$seeds" --workdir="$workdir" 2>&1 |
    tail -n 25
  find "$workdir" -name result.json | while read -r result; do
    name=$(basename "$(dirname "$result")")
    cp "$result" "$out/$task-$mixer-$recipe-$name.json"
  done
done
echo "== results in $out"
ls "$out"/*.json
