# Three images:
#   docker build -t lungscope .                         serving on OpenVINO (the last stage)
#   docker build -t lungscope-postgresql --target postgresql .   the same with the driver for a PostgreSQL server
#   docker build -t lungscope-full --target full .      serving on OpenVINO or TensorFlow, training and its scripts
#
# It listens on all addresses of the container, so it starts only with keys for its callers (docs/security.md), or where
# whoever reaches it may use it:
#   docker run -p 8000:8000 -e LUNGSCOPE_API_TOKEN=... lungscope
#   docker run -p 127.0.0.1:8000:8000 -e LUNGSCOPE_OPEN=true lungscope
#
# Every RUN step stands in deploy/container/build.sh, which `make container-check` runs without a container engine.

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY deploy/container/build.sh deploy/container/
RUN ["sh", "deploy/container/build.sh", "builder", "/opt/lungscope"]

FROM builder AS build-full
COPY requirements/full.lock requirements/
RUN ["sh", "deploy/container/build.sh", "full", "/opt/lungscope"]
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY training training
RUN ["sh", "deploy/container/build.sh", "package", "/opt/lungscope"]

# benchmarks/install_size.py builds from what this stage copies.
FROM builder AS build-serve
COPY requirements/serve.lock requirements/
RUN ["sh", "deploy/container/build.sh", "serve", "/opt/lungscope"]
COPY pyproject.toml README.md LICENSE ./
COPY app app
RUN ["sh", "deploy/container/build.sh", "package", "/opt/lungscope"]

FROM build-serve AS build-postgresql
COPY requirements/postgresql.lock requirements/
RUN ["sh", "deploy/container/build.sh", "postgresql", "/opt/lungscope"]

# What all images share. Any numeric user and a read-only root file system will do: nothing is kept at run time.
# TensorFlow asks for a temporary directory when it is imported; /dev/shm is one that engines always provide.
# One heap for all threads (MALLOC_ARENA_MAX): a worker's peak over series of 128 slices is 10 MB lower.
FROM ${PYTHON_IMAGE} AS base
LABEL org.opencontainers.image.title="Lungscope" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.description="REST inference microservice for lung CT. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/lungscope/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/nonexistent \
    TMPDIR=/dev/shm \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=1 \
    LUNGSCOPE_MODELS_DIR=/opt/lungscope/models
COPY deploy/container/healthcheck.py /opt/lungscope/
COPY models /opt/lungscope/models
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/lungscope/healthcheck.py", "http://127.0.0.1:8000/health/live"]
CMD ["lungscope", "serve", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS full
COPY --from=build-full /opt/lungscope /opt/lungscope
WORKDIR /opt/lungscope/share
COPY scripts scripts
COPY training/configs training/configs
USER 10001:10001

FROM base AS postgresql
COPY --from=build-postgresql /opt/lungscope /opt/lungscope
WORKDIR /opt/lungscope
USER 10001:10001

FROM base AS serve
COPY --from=build-serve /opt/lungscope /opt/lungscope
WORKDIR /opt/lungscope
USER 10001:10001
