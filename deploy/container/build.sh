#!/bin/sh
# Every step that builds the container image. The Dockerfile's RUN lines call this script and do nothing else;
# check.sh runs the same steps where there is no container engine.
#
#   build.sh builder PREFIX    an empty virtual environment in PREFIX, without pip
#   build.sh serve PREFIX      what serving needs, from requirements/serve.lock, less what serving never loads
#   build.sh postgresql PREFIX the driver for PostgreSQL besides, from requirements/postgresql.lock
#   build.sh full PREFIX       what training needs besides, from requirements/full.lock
#   build.sh package PREFIX    Lungscope itself
#
# PYTHON is the interpreter that will run the service; PIP is a pip (22.3 or later) to install with.
set -eu
cd "$(dirname "$0")/../.."

step=$1
prefix=$2
python=${PYTHON:-python3}
pip=${PIP:-"$python -m pip"}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

pip_install() { # into PREFIX, which has no pip of its own: the image needs none
    $pip --python "$prefix/bin/python" install --no-input --progress-bar off "$@"
}

site_packages() {
    "$prefix/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

# What a process that runs a SavedModel on the CPU never loads: headers, other devices, other model formats.
trim_openvino() {
    rm -rf "$1/include" "$1"/libs/cache.json
    for unused in intel_gpu_plugin intel_npu_plugin \
        gguf_frontend jax_frontend onnx_frontend paddle_frontend pytorch_frontend tensorflow_lite_frontend; do
        rm -f "$1/libs/libopenvino_$unused.so"*
    done
}

case $step in
builder)
    "$python" -m venv --without-pip "$prefix"
    ;;
serve)
    pip_install --require-hashes -r requirements/serve.lock
    trim_openvino "$(site_packages)/openvino"
    # No serving process imports these (make install-size): what reports the use of OpenVINO's tools to its makers,
    # uvicorn's parser where there is no httptools, names of hosts in other alphabets.
    $pip --python "$prefix/bin/python" uninstall --yes openvino-telemetry h11 idna
    ;;
postgresql)
    pip_install --require-hashes -r requirements/postgresql.lock
    ;;
full)
    pip_install --require-hashes -r requirements/full.lock
    ;;
package)
    pip_install --no-deps --no-build-isolation .
    $pip --python "$prefix/bin/python" uninstall --yes setuptools # it built the package
    ;;
*)
    echo "build.sh: unknown step: $step" >&2
    exit 2
    ;;
esac
