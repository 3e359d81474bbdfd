"""What a person can act on in an error as Dagster stores it."""

from collections.abc import Iterator

from dagster_shared.error import SerializableErrorInfo

from ae_assets.errors import AeAssetsError


def root_message(error: SerializableErrorInfo) -> str:
    """The message of the innermost AeAssetsError among an error and its causes, else of the innermost error."""
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    ours = {cls.__name__ for cls in _family(AeAssetsError)}
    raised = next((one for one in reversed(chain) if one.cls_name in ours), None)
    if raised is not None:
        return raised.message.partition(": ")[2].strip()
    return chain[-1].message.strip()


def _family(cls: type[Exception]) -> Iterator[type[Exception]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)
