"""The error tree. Every message names the place, the value found and the remedy.

OnlineEvalError
├── SettingsError       the environment: a variable that is missing or out of range
├── CatalogError        a file in the catalog: unknown key, value out of range
├── RequestRefused      a request to the collector that gets an HTTP status of 4xx or 5xx; the answer is the message
├── LogError            the log folder: unreadable, disk full, a segment that is gone
├── QueueError          a queue: the broker does not answer, refuses, or holds less than was read from it
├── SourceError         a foreign file: missing, unreadable, a wrong column
├── LakeError           a Delta table: a schema that does not fit, a transaction out of order
├── WarehouseError      the engine: a failed build
│   └── WarehouseBusy   another process holds the warehouse; names its pid
├── JudgeError          a judge as a whole: no key, no endpoint (one reply that fails is a verdict, not an error)
├── ReviewError         the review's files: tasks or state that cannot be read, an import that does not fit
│   └── TaskRefused     what a reviewer did and cannot be taken: the page shows the message
├── AlertError          an alert that is not there, a rule that is not switched on, a channel that cannot work
├── KeepingError        retention, erasure, backup: a home that is not empty, a damaged backup, a lock that is held
└── ReportError         a report that was asked for a day without data
"""


class OnlineEvalError(Exception):
    """Something the user can mend; the message says how. The command line prints it and exits 1."""


class SettingsError(OnlineEvalError): ...


class CatalogError(OnlineEvalError): ...


class RequestRefused(OnlineEvalError):
    """`status` is HTTP's; after `retry_seconds`, where there are some, the same request may be taken."""

    def __init__(self, message: str, *, status: int, retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_seconds = status, retry_seconds


class LogError(OnlineEvalError): ...


class QueueError(OnlineEvalError): ...


class SourceError(OnlineEvalError): ...


class LakeError(OnlineEvalError): ...


class WarehouseError(OnlineEvalError): ...


class WarehouseBusy(WarehouseError): ...


class JudgeError(OnlineEvalError): ...


class ReviewError(OnlineEvalError): ...


class TaskRefused(ReviewError):
    """`status` is HTTP's."""

    def __init__(self, message: str, *, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class AlertError(OnlineEvalError): ...


class KeepingError(OnlineEvalError): ...


class ReportError(OnlineEvalError): ...
