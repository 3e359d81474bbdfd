"""S3 as dagster-aws configures it: what its `S3Resource` says, for the clients of sources and for the tables' files."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from pydantic import ValidationError

from ae_assets.errors import ConfigError

VARIABLE = "AE_ASSETS_S3_"
"""How variables begin that name a field of the resource: ``AE_ASSETS_S3_REGION_NAME``."""

_OF_CLIENT = (
    "profile_name",
    "region_name",
    "endpoint_url",
    "use_ssl",
    "verify",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "use_unsigned_session",
)
"""The fields that `client_of` reads."""

FILE_PROPERTIES = {
    "endpoint_url": "s3.endpoint",
    "region_name": "s3.region",
    "aws_access_key_id": "s3.access-key-id",
    "aws_secret_access_key": "s3.secret-access-key",
    "aws_session_token": "s3.session-token",
}
"""pyiceberg's names of what both know. Tables are written, so a session without signature is for sources alone."""


def s3_of_environment() -> Any:
    """The resource that the environment describes; None where it says nothing.

    Raises:
        ConfigError: a variable names no field of it, or has a wrong value; or dagster-aws is not installed.
    """
    values = {
        name.removeprefix(VARIABLE).lower(): value for name, value in os.environ.items() if name.startswith(VARIABLE)
    }
    if not values:
        return None
    if find_spec("dagster_aws") is None:
        raise ConfigError(f"{VARIABLE}... is set, which needs dagster-aws; install it: pip install 'ae_assets[aws]'")
    # boto3 is for those who set it.
    from dagster_aws.s3 import S3Resource

    # The UI shows the fields of resources, so credentials stay in the variables of the AWS chain.
    known = {field for field in S3Resource.model_fields if not field.startswith("aws_")}
    if unknown := sorted(values.keys() - known):
        raise ConfigError(
            f"{VARIABLE}{unknown[0].upper()} names no setting of dagster-aws's S3Resource; expected one of "
            f"{', '.join(VARIABLE + field.upper() for field in sorted(known))}. Credentials are those of the AWS "
            "chain: AWS_ACCESS_KEY_ID, AWS_PROFILE, or a role"
        )
    try:
        return S3Resource.model_validate(values)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"])).upper()
        raise ConfigError(f"{VARIABLE}{field}: received {wrong['input']!r}; {wrong['msg']}") from None


@dataclass(frozen=True)
class ClientMaker:
    """Makes the clients of sources on S3 that an ``S3Resource`` describes; it can be sent to another process."""

    s3: Any

    def __call__(self, config: Any) -> Any:
        return client_of(self.s3, config)

    def __reduce__(self) -> tuple[type["ClientMaker"], tuple[SimpleNamespace]]:
        """Without the resource itself, which Dagster has made of types that only it can make."""
        return ClientMaker, (SimpleNamespace(**{field: getattr(self.s3, field) for field in _OF_CLIENT}),)


def client_of(s3: Any, config: Any) -> Any:
    """A client with the session, endpoint and credentials of an ``S3Resource``, and a botocore ``Config`` of our own.

    The resource's own client counts its tries itself and addresses buckets by host name, which many servers that are
    not Amazon's do not understand.
    """
    import boto3
    from botocore.handlers import disable_signing

    client = boto3.session.Session(profile_name=s3.profile_name).client(
        "s3",
        region_name=s3.region_name,
        endpoint_url=s3.endpoint_url,
        use_ssl=s3.use_ssl,
        verify=s3.verify,
        aws_access_key_id=s3.aws_access_key_id,
        aws_secret_access_key=s3.aws_secret_access_key,
        aws_session_token=s3.aws_session_token,
        config=config,
    )
    if s3.use_unsigned_session:
        client.meta.events.register("choose-signer.s3.*", disable_signing)
    return client


def file_properties(s3: Any) -> dict[str, str]:
    """What pyiceberg is told of the files of tables on S3; nothing without a resource."""
    if s3 is None:
        return {}
    known = {name: getattr(s3, field) for field, name in FILE_PROPERTIES.items()}
    return {name: value for name, value in known.items() if value is not None}
