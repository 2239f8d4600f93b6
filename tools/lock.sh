#!/usr/bin/env sh
# Remake the locks with uv: they serve every supported Python and platform.
set -e
cd "$(dirname "$0")/.."
compile() {
  uv pip compile "$@" --universal --python-version 3.11 --generate-hashes --no-header --quiet
}
for accel in cpu cuda13 tpu; do
  compile pyproject.toml --extra $accel -o requirements/$accel.txt
done
compile pyproject.toml --extra data --constraint requirements/cpu.txt -o requirements/data.txt
compile --group pyproject.toml:dev --constraint requirements/cpu.txt -o requirements/dev.txt
compile --group pyproject.toml:torch --constraint requirements/cpu.txt -o requirements/torch.txt
