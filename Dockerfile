# The image that rayjob.yaml runs: Ray's own, and this folder with the versions of constraints.txt.
#   docker build --tag REGISTRY/tune-diffreg . && docker push REGISTRY/tune-diffreg
FROM rayproject/ray:2.60.0-py311

# PyTorch brings CUDA; of the machine it takes the driver, which the container runtime lends to who asks.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true HF_HUB_DISABLE_TELEMETRY=1

COPY --chown=ray:users constraints.txt pyproject.toml README.md LICENSE /home/ray/tune-diffreg/
COPY --chown=ray:users tune_diffreg /home/ray/tune-diffreg/tune_diffreg
RUN pip install --no-cache-dir --constraint /home/ray/tune-diffreg/constraints.txt /home/ray/tune-diffreg
