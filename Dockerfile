# One image for every part of Changeover: gateway nodes (with Envoy), observers, console, workers and
# flow runs. docs/deploying.md says how each is started. Build it in this folder:
#
#   docker build -t changeover:0.1.0 .
#
# Arguments: PYTHON and DEBIAN choose the base image, EXTRAS what is installed beside the core,
# PACKAGES further ones, as --build-arg PACKAGES="prefect-redis s3fs".
ARG PYTHON=3.11
ARG DEBIAN=trixie

FROM python:${PYTHON}-slim-${DEBIAN} AS build
ARG EXTRAS=postgres,openapi,openfeature,parquet,otel,ha
ARG PACKAGES=""
WORKDIR /src
RUN python -m venv /opt/changeover
COPY constraints.txt pyproject.toml prefect.yaml README.md ./
COPY changeover ./changeover
COPY flows ./flows
COPY tasks ./tasks
COPY blocks ./blocks
COPY reports ./reports
COPY examples ./examples
# only wheels: nothing is compiled here, and a package without one fails at once. PACKAGES are words.
# hadolint ignore=DL3042,SC2086
RUN /opt/changeover/bin/pip install --no-cache-dir --only-binary :all: \
      -c constraints.txt ".[${EXTRAS}]" ${PACKAGES} \
 && /opt/changeover/bin/pip check

FROM python:${PYTHON}-slim-${DEBIAN}
# pg_dump for backups: it must not be older than the server. tini is the first process: one without
# it would take no notice of SIGTERM while Python starts, and would keep the dead children of others.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --create-home --home-dir /var/lib/changeover changeover
COPY --from=build /opt/changeover /opt/changeover
# The home is a folder below the volume: a volume's own folder belongs to root.
ENV PATH=/opt/changeover/bin:$PATH \
    CHANGEOVER_HOME=/var/lib/changeover/home \
    PREFECT_HOME=/var/lib/changeover/prefect \
    PREFECT_CLIENT_MAX_RETRIES=12 \
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/changeover
# by number, so that Kubernetes can see that it is not root
USER 10001:10001
# A command follows, as `changeover gateway …` or `python -m flows.worker …`: Prefect's pools for
# Docker and Kubernetes start flow runs with theirs.
ENTRYPOINT ["tini", "--"]
CMD ["changeover", "--help"]
