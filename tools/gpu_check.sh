#!/usr/bin/env bash
# Check the suite on an accelerator and measure what is still missing, in order of worth.
#
#   tools/gpu_check.sh OUT [SECONDS]      results as JSON in OUT; default limit 570 s
#
# PYTHON names the interpreter (default .venv/bin/python), RECIPE the recipe (default
# lra2020), MIXERS those that are tried on every task (of TASKS) and whose speed is
# measured at LENGTHS (the transform's at WIDTHS too), TASK whose sizes the steps compared have (default: three),
# SECTIONS what is compared, TESTS the tests, RUNS the runs to train as
# "task:mixer:seeds ...", and FLAGS theirs. A run that the limit interrupts keeps its
# checkpoint in OUT/runs, and speed its finished measurements in OUT/speed: repeat the
# command to continue. The exit status is 1 if a part failed or was not finished.
set -u
out=${1:?usage: tools/gpu_check.sh OUT [SECONDS]}
deadline=$((SECONDS + ${2:-570}))
python=${PYTHON:-.venv/bin/python}
recipe=${RECIPE:-lra2020}
mixers=${MIXERS-fnet transformer transformer_rope linear_transformer performer}
runs=${RUNS-listops:fnet:3 listops:transformer:3 pathfinder:fnet:1}
tests=${TESTS:-tests/mixers tests/speed tests/model/test_classifier.py tests/test_step.py}
cd "$(dirname "$0")/.." || exit 1
python=$(command -v "$python" | xargs -r realpath -s)
[ -n "$python" ] || { echo "PYTHON is no program; make .venv/installed-cuda13"; exit 1; }
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
failed=
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
  [ "$limit" -gt 20 ] || { echo "no time left"; failed="$failed $name"; return; }
  timeout -s INT -k 10 "$limit" "$@" > "$out/$name.log" 2>&1
  local status=$?
  echo "exit $status: $(tail -n 1 "$out/$name.log")"
  [ "$status" = 0 ] || failed="$failed $name"
}

# The cells that `make compile` has compiled, at the sizes of LRA: do they run?
part cells 30 env PYTHON="$python" BATCH="${BATCH:-32}" \
  tools/smoke.sh "${TASKS:-}" "$mixers"
# shellcheck disable=SC2086  # several words
part tests 35 "$python" -m pytest -q -p no:cacheprovider $tests
part speed-fourier 25 "$python" -m lra_fnet speed-fourier --to="$out/fourier_choice.json" \
  --lengths="${LENGTHS:-}" --widths="${WIDTHS:-}"
part speed-compare 30 "$python" -m lra_fnet speed-compare --to="$out/speed" \
  --task="${TASK:-}" --sections="${SECTIONS:-}"
part speed 40 "$python" -m lra_fnet speed --mixers="$mixers" --to="$out/speed" \
  --lengths="${LENGTHS:-}"

for run in $runs; do
  IFS=: read -r task mixer seeds <<< "$run"
  echo "== $task $mixer, $seeds seeds, $(left) s left"
  [ "$(left)" -gt 30 ] || { echo "no time left"; failed="$failed $run"; continue; }
  workdir="$out/runs/$task-$mixer-$recipe"
  # shellcheck disable=SC2086  # several flags
  timeout -s TERM "$(left)" "$python" -m lra_fnet train --task="$task" \
    --recipe="$recipe" --mixer="$mixer" --seeds="$seeds" --workdir="$workdir" \
    ${FLAGS:-} 2>&1 |
    tail -n 25
  [ "${PIPESTATUS[0]}" = 0 ] || failed="$failed $task-$mixer"
  find "$workdir" -name result.json | while read -r result; do
    name=$(basename "$(dirname "$result")")
    cp "$result" "$out/$task-$mixer-$recipe-$name.json"
  done
done
echo "== results in $out"
ls "$out"/*.json
[ -z "$failed" ] || { echo "not finished:$failed"; exit 1; }
