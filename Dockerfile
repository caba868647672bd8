# Gennaker for machines that are no Linux: `docker build -t gennaker .`, then `docker run --rm --init --shm-size=1g gennaker lm --tokens 70`.
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
# Compiled kernels are kept in the home folder: give it a volume, and the second run starts at once.
RUN useradd --create-home gennaker
USER gennaker
WORKDIR /home/gennaker
ENTRYPOINT ["/opt/gennaker/bin/gennaker"]
CMD ["--help"]
