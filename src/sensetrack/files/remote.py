"""Rasters that are read over the network by other libraries; sensetrack itself opens local files only."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = {
    "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "1", "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_TIMEOUT": "120", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}  # fmt: skip
_BUNDLES = ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that name a file of certificates, as networks with a proxy of their own need."""


@contextmanager
def patient_reading() -> Iterator[None]:
    """Let GDAL wait for servers that are busy, give up on those that are silent, and not look for files beside.

    The certificates that other programs trust, where the environment names some, are trusted here too: rasterio names
    its own as soon as it is loaded. All is said in environment variables, as libraries read in threads of their own,
    which options of rasterio do not reach.
    """
    bundle = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), None)
    wanted = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    if bundle is not None:
        wanted["GDAL_CURL_CA_BUNDLE"] = bundle
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
