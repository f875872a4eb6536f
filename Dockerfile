# Bifrost with its locked dependencies, run by a user of its own. How to use it: docs/deployment.md
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates
WORKDIR /src
COPY requirements/run.txt requirements/
RUN python3 -m venv /opt/bifrost \
 && /opt/bifrost/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/bifrost/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/bifrost/bin/pip uninstall --yes pip

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 bifrost \
 && useradd --system --uid 10001 --gid bifrost --home-dir /data --no-create-home --shell /usr/sbin/nologin bifrost \
 && install -d -o bifrost -g bifrost -m 0700 /data
COPY --from=build /opt/bifrost /opt/bifrost
ENV PATH=/opt/bifrost/bin:$PATH \
    BIFROST_DATA_DIR=/data \
    BIFROST_SERVER__HOST=0.0.0.0
USER bifrost
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=3)"]
ENTRYPOINT ["bifrost"]
CMD ["serve"]
