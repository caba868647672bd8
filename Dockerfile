# Gennaker where there is no Linux (macOS, Windows), or no Python of 3.11 or later:
#   docker build -t gennaker .
#   docker run --rm --init -v "$PWD":/home/gennaker/here -w /home/gennaker/here gennaker lm --tokens 70
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE MANIFEST.in ./
COPY completions completions
COPY gennaker gennaker
COPY host host
COPY models models
COPY noc noc
COPY pe pe
RUN python -m venv /opt/gennaker && /opt/gennaker/bin/pip install --no-cache-dir '.[nir]'

FROM python:3.12-slim
COPY --from=build /opt/gennaker /opt/gennaker
# Whoever runs it (`--user`) can keep compiled kernels; with `-v gennaker-cache:/var/cache/gennaker` the next container has them.
ENV XDG_CACHE_HOME=/var/cache/gennaker
RUN useradd --uid 1000 --create-home gennaker && mkdir --mode=1777 /var/cache/gennaker
USER 1000
WORKDIR /home/gennaker
ENTRYPOINT ["/opt/gennaker/bin/gennaker"]
CMD ["--help"]
