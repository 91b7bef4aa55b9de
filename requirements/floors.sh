#!/bin/sh
# An environment with the lowest versions that pyproject.toml allows of what serving needs, to run tests in:
#     sh requirements/floors.sh FOLDER
set -eu
cd "$(dirname "$0")/.."
folder=$1
uv=${UV:-.venv/bin/uv}
"$uv" venv --quiet --clear --python "${PYTHON:-.venv/bin/python}" "$folder"
"$uv" pip compile --quiet --resolution lowest-direct --extra openvino --extra tensorflow pyproject.toml \
    --no-header --no-annotate --no-emit-index-url -o "$folder/floors.txt"
"$uv" pip install --quiet --python "$folder/bin/python" -r "$folder/floors.txt" \
    pytest pytest-timeout pytest-xdist hypothesis httpx httpx2 jsonschema openapi-spec-validator 'tritonclient[http]>=2.60,<2.68'
