"""Where a cluster's Jobs API is, and where its studies are kept."""

from __future__ import annotations

import socket
from pathlib import PurePosixPath

from tune_diffreg.addresses import split_address
from tune_diffreg.errors import InputError
from tune_diffreg.secrets import holds_credentials

_PORTS = {"http": 80, "https": 443}
_PATIENCE_SECONDS = 5.0


def is_jobs_address(address: str | None) -> bool:
    """Whether it is that of a Jobs API, and not of a Ray cluster that a driver here joins."""
    return address is not None and address.startswith(("http://", "https://"))


def require_jobs_address(address: str) -> None:
    """Raises InputError where `address` is none of a Jobs API, or nothing is there."""
    parts = split_address("--address", address)
    try:
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a port that is no number
        host = port = None
    if not is_jobs_address(address) or not host or not port:
        raise InputError(
            f"--address {address}: give the address of the cluster's Jobs API, such as "
            "http://127.0.0.1:8265, or leave it out for the studies of this machine"
        )
    if holds_credentials(address):
        raise InputError("--address: holds no credentials; a token goes into RAY_AUTH_TOKEN_PATH")
    try:
        socket.create_connection((host, port), _PATIENCE_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"nothing answers at {address} ({error.strerror or error}); is the tunnel to the "
            "cluster's dashboard up?"
        ) from None


def storage_options(storage: str | None) -> list[str]:
    """What names a storage on a cluster, which this machine need not reach; None is its own.

    Raises:
        InputError: it is a folder relative to who knows what, or holds credentials.
    """
    if storage is None:
        return []
    parts = split_address("--storage", storage)
    if holds_credentials(storage):
        raise InputError(
            f"--storage {parts.scheme}://...: an address holds no credentials; give the machines "
            "a role"
        )
    if not parts.scheme and not PurePosixPath(storage).is_absolute():
        raise InputError(
            f"--storage {storage}: on a cluster it must be an absolute path, or an address such "
            "as s3://bucket/folder"
        )
    return ["--storage", storage]
