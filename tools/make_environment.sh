#!/usr/bin/env sh
# Make an environment with the first Python that fits:
#   tools/make_environment.sh FOLDER [PYTHON]
folder=${1:?the folder of the environment}
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
for candidate in ${2:-python3 python3.12 python3.11 python3.13}; do
  if "$candidate" -c "$fits" 2>/dev/null; then
    echo "$candidate -m venv $folder"
    "$candidate" -m venv "$folder" && exit 0
    rm -rf "$folder"
    echo "error: $candidate cannot make environments; install its venv package" \
      "(Debian, Ubuntu: apt-get install python3-venv)" >&2
    exit 1
  fi
done
echo "error: needs Python 3.11 to 3.13; make base_python=/path/to/python3.12" >&2
exit 1
