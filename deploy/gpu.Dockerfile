# Render slots on NVIDIA GPUs. The driver comes from the host (NVIDIA container toolkit), CUDA with the Python packages.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY deploy/flowerconfig.py deploy/flowerconfig.py
COPY engine engine
COPY farm farm
COPY workers workers
RUN python -m venv /opt/farm \
    && /opt/farm/bin/pip install --no-cache-dir --constraint requirements.lock ".[workers,sonic]"

FROM python:3.12-slim
RUN useradd --system --uid 10001 farm && install --directory --owner farm /var/lib/sonic-farm
COPY --from=build /opt/farm /opt/farm
ENV PATH=/opt/farm/bin:$PATH PYTHONUNBUFFERED=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /var/lib/sonic-farm
USER farm
CMD ["python", "-m", "workers.launch", "slots"]
