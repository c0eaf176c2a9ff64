"""MLflow's own UI, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys

from tune_diffreg.errors import WorkFailed


def serve(uri: str, port: int) -> None:
    """Runs MLflow's server on `uri` until it is interrupted; no other machine can reach it."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    quiet = {"MLFLOW_LOGGING_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}
    status = subprocess.run(command, check=False, env=os.environ | quiet).returncode
    if status > 0:
        raise WorkFailed(f"MLflow's server ended with status {status}; is port {port} in use?")
