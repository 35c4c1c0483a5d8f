"""The error tree. Every message names the place, the value found and the remedy.

OnlineEvalError
├── SettingsError       the environment: a variable that is missing or out of range
├── CatalogError        a file in the catalog: unknown key, value out of range
├── LogError            the log folder: unreadable, disk full, a segment that is gone
├── SourceError         a foreign file: missing, unreadable, a wrong column
├── LakeError           a Delta table: a schema that does not fit, a transaction out of order
├── WarehouseError      the engine: a failed build
│   └── WarehouseBusy   another process holds the warehouse; names its pid
├── JudgeError          a judge as a whole: no key, no endpoint (one reply that fails is a verdict, not an error)
└── ReportError         a report that was asked for a day without data
"""


class OnlineEvalError(Exception):
    """Something the user can mend; the message says how. The command line prints it and exits 1."""


class SettingsError(OnlineEvalError): ...


class CatalogError(OnlineEvalError): ...


class LogError(OnlineEvalError): ...


class SourceError(OnlineEvalError): ...


class LakeError(OnlineEvalError): ...


class WarehouseError(OnlineEvalError): ...


class WarehouseBusy(WarehouseError): ...


class JudgeError(OnlineEvalError): ...


class ReportError(OnlineEvalError): ...
