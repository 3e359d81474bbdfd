"""What a person can act on in an error as Dagster stores it."""

from dagster_shared.error import SerializableErrorInfo

from ae_assets.errors import AeAssetsError


def root_message(error: SerializableErrorInfo) -> str:
    """The message of the innermost AeAssetsError among an error and its causes, else of the innermost error."""
    root = _root(error)
    if root.cls_name in _names(AeAssetsError):
        return root.message.partition(": ")[2].strip()
    return root.message.strip()


def is_caused_by(error: SerializableErrorInfo | None, kind: type[AeAssetsError]) -> bool:
    """Whether the error that a person can act on is of a kind."""
    return error is not None and _root(error).cls_name in _names(kind)


def _root(error: SerializableErrorInfo) -> SerializableErrorInfo:
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    ours = _names(AeAssetsError)
    return next((one for one in reversed(chain) if one.cls_name in ours), chain[-1])


def _names(cls: type[Exception]) -> set[str]:
    return {cls.__name__}.union(*map(_names, cls.__subclasses__()))
