"""Errors that a person can act on. Each message names what was received, what was expected, where, and what to do."""


class AeAssetsError(Exception):
    """Base of all errors the project raises on purpose; the CLI prints its message without a traceback."""


class ConfigError(AeAssetsError):
    """A setting is missing or not allowed."""


class SourceError(AeAssetsError):
    """A source cannot be listed or a day of it cannot be read."""


class ContractError(AeAssetsError):
    """A frame does not have the columns or types that its contract promises."""


class DaysFailedError(AeAssetsError):
    """Some days of a run could not be made or are held back by a check; those that could are stored."""


class LakehouseError(AeAssetsError):
    """A table cannot be read or written."""


class EngineError(AeAssetsError):
    """What runs functions of blocks, such as Spark, cannot be started or failed."""


class ModelError(AeAssetsError):
    """A model cannot be fitted, saved or loaded."""


class EvaluationError(AeAssetsError):
    """An evaluation was asked for on rows that a fit or a threshold has seen, or that hold nothing to judge."""
