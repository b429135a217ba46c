"""A store of objects on this machine, which answers as Amazon's S3 does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUCKET = "bakeoff"


@contextmanager
def object_store() -> Iterator[str]:
    """Starts moto's server on a free port of the loopback address; gives the address of a bucket.

    The environment names the server, so that processes that are started meanwhile use it too.
    """
    reason = "needs moto's server, s3fs and boto3"
    server = pytest.importorskip("moto.server", reason=reason)
    boto3 = pytest.importorskip("boto3", reason=reason)
    s3fs = pytest.importorskip("s3fs", reason=reason)
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    try:
        _, port = started.get_host_and_port()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            patch.setenv("AWS_ACCESS_KEY_ID", "name")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "word")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            patch.delenv("AWS_PROFILE", raising=False)
            s3fs.S3FileSystem.clear_instance_cache()  # one of an earlier server
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield f"s3://{BUCKET}"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        started.stop()
