"""What can go wrong in the farm, and the exit code each case gives the command line.

    FarmError                     code        exit
    ├── SettingsError             bad_setting    2   a setting has a value it cannot have
    ├── InputRefusedError         input_refused  2   preflight found the portrait, the speech or a parameter unusable
    ├── NotFoundError             not_found      2   no job, object or file of that name
    ├── NotAllowedError           not_allowed    2   a move that the job's state does not allow
    ├── JobFailedError            job_failed     3   the job that was waited for failed or was cancelled
    ├── UnreachableError          unreachable    4   Redis or storage does not answer
    │   ├── BooksUnreachableError
    │   └── StorageUnreachableError
    ├── DeliveryError             not_delivered  4   the receiver of a webhook did not take it
    ├── BooksError                books          4   Redis answered, and refused
    └── StorageError              storage        4   storage answered, and refused
        ├── CorruptObjectError                       what storage gave is not what was put there
        └── ReplacedError                            what lies there is not what was looked at

`retryable` says whether the same call may succeed later. Retry decisions read the class, never the message.
"""

from __future__ import annotations

from typing import ClassVar


class FarmError(Exception):
    """Root of everything the farm raises on purpose; its text is meant to be printed as it is."""

    code: ClassVar[str] = "farm_error"
    exit_code: ClassVar[int] = 4
    retryable: ClassVar[bool] = False


class SettingsError(FarmError):
    """Raised when a setting has a value that it cannot have; names key, value, source and what would be right."""

    code = "bad_setting"
    exit_code = 2


class InputRefusedError(FarmError):
    """Raised when preflight refuses a job; `problems` has one plain sentence for each reason."""

    code = "input_refused"
    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NotFoundError(FarmError):
    """Raised when a job, an object or a file that was named does not exist."""

    code = "not_found"
    exit_code = 2


class NotAllowedError(FarmError):
    """Raised when a job's state does not allow what was asked."""

    code = "not_allowed"
    exit_code = 2


class JobFailedError(FarmError):
    """Raised when a job that was waited for failed or was cancelled."""

    code = "job_failed"
    exit_code = 3


class UnreachableError(FarmError):
    """Raised when a server that the farm needs does not answer."""

    code = "unreachable"
    exit_code = 4
    retryable = True


class BooksUnreachableError(UnreachableError):
    """Raised when Redis does not answer."""


class StorageUnreachableError(UnreachableError):
    """Raised when storage does not answer, throttles or fails (5xx) past all retries; names bucket and key."""


class DeliveryError(FarmError):
    """Raised when a webhook did not arrive: no such host, no connection, no answer in time, an answer but 2xx."""

    code = "not_delivered"
    exit_code = 4
    retryable = True


class StorageError(FarmError):
    """Raised when storage answers and refuses (credentials, missing bucket, corrupt object); names bucket and key."""

    code = "storage"
    exit_code = 4


class CorruptObjectError(StorageError):
    """Raised when an object's content is not what was put there."""


class ReplacedError(StorageError):
    """Raised when an object was overwritten by another since it was looked at."""


class BooksError(FarmError):
    """Raised when Redis answers and refuses (permissions, a script's error)."""

    code = "books"
    exit_code = 4
