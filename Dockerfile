# The code server of the project: dagster's webserver and daemon connect to port 4000.
#   docker build -t ae-assets .
#   docker run --read-only --tmpfs /tmp -v ae_assets:/var/lib/ae_assets -p 4000:4000 ae-assets
# BASE_IMAGE may name a mirror; its Python is the one that docs/results.md was measured with.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/ae_assets
COPY locks/uv.txt locks/build.txt locks/run.txt locks/
RUN python -m pip install --no-cache-dir --require-hashes -r locks/uv.txt \
    && uv venv "$VIRTUAL_ENV" \
    && uv pip install --require-hashes -r locks/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY ae_assets/ ae_assets/
RUN uv pip install --no-deps --build-constraints locks/build.txt .

FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --create-home --home-dir /var/lib/ae_assets --shell /usr/sbin/nologin ae_assets
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
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "ae_assets.definitions"]
