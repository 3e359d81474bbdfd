# One image for every process of a deployment: code server (the default command), webserver, daemon, and the runs.
#   docker build -t ae-assets .
#   docker run --read-only --cap-drop ALL --tmpfs /tmp -v ae_assets:/var/lib/ae_assets -p 127.0.0.1:4000:4000 ae-assets
# deploy/compose.yaml and deploy/helm/values.yaml use it; deploy/check_image.sh builds it and tries it out.
#
# --target spark: the same with Spark and Java, for the runs and executors of deploy/kubernetes/spark.
#
# BASE_IMAGE: any Debian with python3 (3.11 to 3.13), its venv module and CA certificates: python:3.11-slim, or Debian
# with python3-venv and ca-certificates. Its Python is the one that docs/results.md was measured with.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
# LOCK: image holds the extras alerts, aws, baselines, cassandra, kafka, kubernetes, postgres and serve; run has none of them.
ARG LOCK=image
WORKDIR /build
# UV_SYSTEM_CERTS: a company's own certificate authority in the base image counts.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 \
    VIRTUAL_ENV=/opt/ae_assets
COPY locks/uv.txt locks/build.txt locks/${LOCK}.txt locks/
# uv comes into an environment of its own: Debian's Python refuses to install beside its own packages (PEP 668).
RUN python3 -m venv uv \
    && uv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r locks/uv.txt \
    && uv/bin/uv venv --python "$(command -v python3)" "$VIRTUAL_ENV" \
    && uv/bin/uv pip install --require-hashes -r "locks/${LOCK}.txt" \
    && find "$VIRTUAL_ENV/lib" \( -type d \( -name tests -o -name include \) -o -name "*.js.map" \) -prune -exec rm -r {} +
COPY pyproject.toml README.md LICENSE ./
COPY ae_assets/ ae_assets/
RUN uv/bin/uv pip install --no-deps --build-constraints locks/build.txt .

FROM build AS build-spark
COPY locks/spark.txt locks/
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends maven \
    && uv/bin/uv pip install --no-deps --require-hashes -r locks/spark.txt \
    && "$VIRTUAL_ENV/bin/ae-assets" spark-jars

FROM ${BASE_IMAGE} AS image
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ae_assets" \
      org.opencontainers.image.description="Watches tables of device records with autoencoders: code server, webserver, daemon and runs" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
# libgomp1: LightGBM's wheel leaves OpenMP to the system.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/ae_assets --shell /usr/sbin/nologin ae_assets \
    && install -d -o 10001 -g 10001 /var/lib/ae_assets
COPY --from=build /opt/ae_assets /opt/ae_assets
# Everything that is written lies in the volume or in /tmp, so that the root file system can be read-only.
ENV PATH=/opt/ae_assets/bin:$PATH \
    HOME=/var/lib/ae_assets \
    AE_ASSETS_HOME=/var/lib/ae_assets \
    KERAS_BACKEND=jax \
    DAGSTER_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/ae_assets
VOLUME /var/lib/ae_assets
EXPOSE 4000
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s --retries=3 \
    CMD ["dagster", "api", "grpc-health-check", "-p", "4000"]
# 0.0.0.0 is the container's own network, in which webserver and daemon are others: docs/deploy.md says how it is fenced.
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "ae_assets.definitions"]

FROM image AS spark
USER root
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
COPY --from=build-spark /opt/ae_assets /opt/ae_assets
USER 10001:10001

FROM image
