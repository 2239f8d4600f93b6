#!/usr/bin/env bash
# Train every mixer on every task for two steps at its LRA size, from start to result.
#
#   tools/smoke.sh ["TASK ..."] ["MIXER ..."]
#
# PYTHON names the interpreter, BATCH the examples of a step (default 2). Examples are
# few and made up, and nothing of it is kept.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python} batch=${BATCH:-2}
tasks=${1:-listops text retrieval image pathfinder pathx}
tasks=${tasks//,/ }
all=$(cd "$root/lra_fnet/mixers" && ls [a-z]*.py | grep -vE '^(contract|listing|template)')
mixers=${2:-${all//.py/}}
sources=
for task in $tasks; do
  [ "$task" = listops ] || sources="$sources $task=sample"  # listops is generated
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
PYTHONPATH=$root LRA_DATA=$folder/data "$python" -m lra_fnet table \
  --tasks="$tasks" --mixers="$(echo $mixers)" --sources="$sources" --seeds=1 \
  --config.train.num_steps=2 --config.train.batch_size="$batch" --config.train.eval_every=2 \
  --config.run.eval_batch_size=2 --config.data.num_train=8 \
  --config.data.num_validation=2 --config.data.num_test=2
