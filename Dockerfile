# The service in a container. Nothing in it writes outside of /tmp, so that it runs with a read-only file system:
#
#   docker build -t mask2alpha --build-arg TORCH_INDEX=INDEX .
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges mask2alpha
#
# INDEX is the address of PyTorch's CPU wheels, as its installation page names it. Without it pip takes what it finds by
# itself, which on x86 is the CUDA build: several gigabytes, and the variant for GPUs (the machine needs NVIDIA's driver and
# container toolkit):
#
#   docker build -t mask2alpha:cuda .
#   docker run --rm -p 8000:8000 --gpus all --read-only --tmpfs /tmp mask2alpha:cuda
#
# HEIC photos need pillow-heif, whose wheel brings x265, which is GPL. To pass the image on without it: --build-arg HEIC=no
#
# Every option of `mask2alpha serve` is also an environment variable: docker run -e MASK2ALPHA_SERVE_WORKERS=4 …

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.6"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/venv/bin/pip install ".[serve,formats]"
ARG HEIC=yes
RUN [ "$HEIC" = yes ] || /opt/venv/bin/pip uninstall -y pillow-heif
RUN /opt/venv/bin/python -m compileall -q -j 0 /opt/venv || echo "some files are for a newer Python and stay as source"

FROM python:${PYTHON}-slim
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 \
    MASK2ALPHA_SERVE_HOST=0.0.0.0 MASK2ALPHA_SERVE_PORT=8000
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['MASK2ALPHA_SERVE_PORT'] + '/ready', timeout=4)"]
ENTRYPOINT ["mask2alpha", "serve"]
