#!/bin/sh
# Builds what the image's `serve` target holds in a scratch prefix, by the same steps, and runs it as the image would:
# a user that owns nothing, no home, and, where the machine lets us, a root file system mounted read-only. The
# environment is that of the Dockerfile.
# usage: [PIP="path/to/python -m pip"] check.sh
set -eu
cd "$(dirname "$0")/../.."

USER_ID=10001
READY_WITHIN_S=60
scratch=$(mktemp -d)
chmod 755 "$scratch"
prefix=$scratch/lungscope
service=

finish() {
    if [ -n "$service" ]; then
        kill "$service" 2>/dev/null || true
        wait "$service" 2>/dev/null || true
    fi
    chmod -R u+w "$scratch"
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { echo "==> container: $*"; }

# Words that put a command under the service's user; nothing where we are unprivileged ourselves.
drop=
if [ "$(id -u)" -eq 0 ]; then
    drop="setpriv --reuid $USER_ID --regid $USER_ID --clear-groups --bounding-set=-all --no-new-privs"
fi

# The interpreter of an image is readable by all; one under root's home is not.
find_python() {
    for candidate in python3.11 python3 /usr/local/bin/python3 /usr/bin/python3.11 /usr/bin/python3; do
        path=$("$candidate" -c 'import os, sys, venv; print(os.path.realpath(sys.executable))' 2>/dev/null) || continue
        # By way of env, and with a module from disk: setpriv itself still has root's rights, and `sys` is built in.
        $drop env "$path" -c 'import decimal, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || continue
        echo "$path"
        return
    done
    echo "check.sh: no Python 3.11, as in the image, that user $USER_ID may run" >&2
    return 1
}

PYTHON=$(find_python)
export PYTHON
say "building with $("$PYTHON" --version)"
for step in builder serve package; do
    started=$(date +%s)
    sh deploy/container/build.sh "$step" "$prefix" >"$scratch/build.log" 2>&1 || {
        cat "$scratch/build.log" >&2
        exit 1
    }
    say "step $step: $(($(date +%s) - started)) s"
done
cp deploy/container/healthcheck.py "$prefix/"
cp -R models "$prefix/"
chmod -R a-w,a+rX "$prefix"

say "$(du -sm "$prefix" | cut -f1) MB, the largest packages in MB:"
du -sm "$prefix"/lib/python3*/site-packages/* | sort -rn | head -n 10 | sed -E 's#\t.*/#\t#'

READ_ONLY='mount --make-rprivate / && mount -o remount,ro,bind /'
if [ -n "$drop" ] && unshare --mount sh -c "$READ_ONLY" 2>/dev/null; then
    say "running as user $USER_ID, root file system read-only"
    wrap="unshare --mount"
    enter="$READ_ONLY && exec \"\$@\""
else
    say "running as a user that may not write to the prefix; a read-only root cannot be mounted here"
    wrap=
    enter='exec "$@"'
fi
port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Every word execs the next: $! stays the service's own process.
(
    cd "$prefix"
    # shellcheck disable=SC2086  # $wrap and $drop are words, or nothing
    exec $wrap sh -c "$enter" sh $drop env -i PATH="$prefix/bin:/usr/bin:/bin" HOME=/nonexistent TMPDIR=/dev/shm \
        PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LUNGSCOPE_MODELS_DIR="$prefix/models" \
        lungscope serve --host 127.0.0.1 --port "$port"
) >"$scratch/service.log" 2>&1 &
service=$!

health() { "$prefix/bin/python" "$prefix/healthcheck.py" "http://127.0.0.1:$port/health/$1"; }

fail() {
    echo "check.sh: $*; the service's log:" >&2
    grep -v lungscope.access "$scratch/service.log" >&2 || true
    exit 1
}

waited=0
until answer=$(health ready); do
    kill -0 "$service" 2>/dev/null || fail "the service ended after $waited s"
    [ "$waited" -lt "$READY_WITHIN_S" ] || fail "not ready after $waited s: $answer"
    case $answer in *failed*) fail "not ready: $answer" ;; esac
    sleep 1
    waited=$((waited + 1))
done
say "/health/ready after $waited s: $answer"
say "/health/live: $(health live)"

kill -TERM "$service"
status=0
wait "$service" || status=$?
service=
[ "$status" -eq 0 ] || fail "it ended with $status after SIGTERM; 0 was expected"
say "ended with 0 after SIGTERM"
