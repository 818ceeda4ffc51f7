"""What storage answered when it did not work, as the farm's own errors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from farm.errors import FarmError, NotFoundError, StorageError, StorageUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY = frozenset(
    {
        "InternalError",
        "NoSuchUpload",  # the server dropped a multipart upload half way: the next try starts another
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
"""Error codes that pass by themselves, whatever the HTTP status that carries them."""
UNANSWERED = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
)
HINTS = {
    "AccessDenied": "the access key has no right to do this",
    "InvalidAccessKeyId": "check s3_access_key",
    "SignatureDoesNotMatch": "check s3_secret_key and s3_region",
    "AuthorizationHeaderMalformed": "check s3_region",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "403": "check s3_access_key, s3_secret_key and what they may do",
}


@dataclass(frozen=True)
class Address:
    """A bucket and the full key of an object in it; the key is empty where the bucket itself is meant."""

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn what boto3 raises into StorageUnreachableError, StorageError or NotFoundError that name the object."""
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise refusal(address, str(details.get("Code", status)), details.get("Message", ""), status) from error
    except boto.SSLError as error:
        raise StorageError(
            f"the certificate for {address} is not trusted, check s3_ca: {error.kwargs['error']}"
        ) from error
    except UNANSWERED as error:
        raise StorageUnreachableError(f"storage does not answer for {address}: {error}") from error
    except BotoCoreError as error:
        raise StorageError(f"{address} cannot be asked for: {error}") from error


def refusal(address: Address, code: str, message: str, status: int = 0) -> FarmError:
    """The error that stands for a code that storage answered with."""
    if code in BUSY or status >= 500 or status == 429:
        return StorageUnreachableError(f"storage is failing or overloaded for {address}: {_said(code, message)}")
    if code == "NoSuchBucket":
        return StorageError(f"bucket {address.bucket!r} does not exist, wanted for {address}: check s3_bucket")
    if code == "NoSuchKey" or (status == 404 and code == "404"):
        return NotFoundError(f"there is no object {address}")
    hint = f" ({HINTS[code]})" if code in HINTS else ""
    return StorageError(f"storage refused {address}: {_said(code, message)}{hint}")


def _said(code: str, message: str) -> str:
    return f"{code}: {message}" if message and message != code else code
