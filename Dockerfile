# tightship in a container: `docker build .` for the CPU, `docker build --build-arg VARIANT=gpu .` for NVIDIA GPUs
ARG VARIANT=cpu

FROM python:3.11.14-slim-bookworm AS wheel
WORKDIR /src
RUN pip install --no-cache-dir build==1.6.1
COPY pyproject.toml README.md LICENSE ./
COPY recipes/digits.yaml recipes/
COPY artifacts artifacts
COPY zoo zoo
COPY compress compress
COPY export export
COPY runtimes runtimes
COPY benchmarks benchmarks
COPY tightship tightship
RUN python -m build --wheel --outdir /wheel
COPY constraints.txt /wheel/

FROM python:3.11.14-slim-bookworm AS install-cpu
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    python -m venv /opt/tightship \
    && /opt/tightship/bin/pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
    && /opt/tightship/bin/pip install --no-cache-dir -c /wheel/constraints.txt "$(ls /wheel/*.whl)[mobile]"

FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 AS install-gpu
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# onnxruntime and onnxruntime-gpu overwrite each other's files: both go, then the GPU build comes last
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    python3 -m venv /opt/tightship \
    && /opt/tightship/bin/pip install --no-cache-dir torch==2.13.0 "$(ls /wheel/*.whl)[gpu]" \
    && /opt/tightship/bin/pip uninstall --yes onnxruntime onnxruntime-gpu \
    && /opt/tightship/bin/pip install --no-cache-dir --no-deps onnxruntime-gpu==1.31.1

FROM install-${VARIANT} AS run
RUN useradd --create-home --uid 10001 tightship
ENV PATH=/opt/tightship/bin:$PATH \
    PYTHONUNBUFFERED=1
USER tightship
WORKDIR /home/tightship
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s CMD ["tightship", "doctor"]
ENTRYPOINT ["tightship"]
