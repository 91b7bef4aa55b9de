#!/bin/sh
# Compiles the locks from pyproject.toml, build.in and postgresql.in; `--check` says whether that would change them.
# What is pinned stays while it fits: a new release of a dependency changes nothing until `--upgrade`.
# usage: [UV=path/to/uv] lock.sh [--check | any option of `uv pip compile`]
set -eu
cd "$(dirname "$0")/.."
uv=$(realpath "${UV:-.venv/bin/uv}")

# Extras stay: to pip coverage[toml] is not the pinned coverage, and it would look for its newest release.
compile() { # compile NAME EXTRA... -- [OPTION...]
    name=$1 extras=
    shift
    while [ "$1" != -- ]; do
        extras="$extras --extra $1"
        shift
    done
    shift
    compile_from "$name" "pyproject.toml requirements/build.in $extras" "$@"
}

compile_from() { # compile_from NAME SOURCES [OPTION...]
    name=$1 sources=$2
    shift 2
    # shellcheck disable=SC2086  # $sources is words
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header \
        $sources --output-file "requirements/$name.lock" "$@"
}

compile_all() {
    compile dev dev -- "$@" &&
        compile full openvino dimse doors train -- --constraints requirements/dev.lock "$@" &&
        compile serve openvino dimse doors -- --constraints requirements/dev.lock "$@" &&
        compile_from postgresql requirements/postgresql.in --constraints requirements/dev.lock "$@"
}

if [ "${1:-}" != --check ]; then
    compile_all "$@"
    exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -R pyproject.toml requirements "$scratch"
repository=$PWD
cd "$scratch"
status=0
# An index that answers in part looks like a conflict once; a real one stays.
compile_all 2>/dev/null || compile_all || status=$?
# uv exits 1 when the requirements contradict each other and 2 when it could not ask the index.
if [ "$status" -ge 2 ] && [ -z "${CI:-}" ]; then
    echo "Locks not checked: the package index cannot be reached. CI checks them." >&2
    exit 0
fi
[ "$status" -eq 0 ] || exit "$status"
if ! diff -ru "$repository/requirements" requirements >&2; then
    echo "The locks do not follow from pyproject.toml: run 'make lock' and commit the result." >&2
    exit 1
fi
