"""Makes what a deployment needs and does not have yet: role, databases, bucket, limits of the pools. Can be repeated.

It alone is given the password of the database's administrator (DATABASE_ADMIN_URL); everything else it reads from the
environment that the other processes have.
"""

import os
from urllib.parse import urlsplit

import boto3
import dagster as dg
import psycopg2
import psycopg2.extensions
from botocore.exceptions import ClientError
from psycopg2.sql import SQL, Identifier, Literal
from sqlalchemy.engine import make_url

POOLS = {
    # Commits of several writers to one catalog are safe; each that meets another is planned again, so more gain little.
    "lakehouse_writes": 4,
    # Training and scoring take all cores, or the one GPU.
    "accelerator": 1,
}
DATABASES = ("DAGSTER_POSTGRES_URL", "PYICEBERG_CATALOG__AE_ASSETS__URI")
BUCKETS = ("PYICEBERG_CATALOG__AE_ASSETS__WAREHOUSE", "AE_ASSETS_MODELS")


def main() -> None:
    """Databases first: the instance that holds the pools lies in one."""
    with_admin = psycopg2.connect(os.environ["DATABASE_ADMIN_URL"])
    with_admin.autocommit = True
    for variable in DATABASES:
        make_database(with_admin, os.environ[variable])
    with_admin.close()
    addresses = [urlsplit(os.environ[variable]) for variable in BUCKETS]
    for name in sorted({address.netloc for address in addresses if address.scheme == "s3"}):  # models may be in MLflow
        make_bucket(name)
    with dg.DagsterInstance.get() as instance:
        for pool, limit in POOLS.items():
            instance.event_log_storage.set_concurrency_slots(pool, limit)
            print(f"pool {pool}: {limit}")


def make_database(admin: psycopg2.extensions.connection, address: str) -> None:
    """The database of an address and the role that it names, which owns it and may do nothing else."""
    url = make_url(address)
    with admin.cursor() as cursor:
        cursor.execute("select from pg_roles where rolname = %s", (url.username,))
        verb = SQL("alter role" if cursor.rowcount else "create role")
        cursor.execute(SQL("{} {} login password {}").format(verb, Identifier(url.username), Literal(url.password)))
        cursor.execute("select from pg_database where datname = %s", (url.database,))
        if not cursor.rowcount:
            cursor.execute(
                SQL("create database {} owner {}").format(Identifier(url.database), Identifier(url.username))
            )
        cursor.execute(SQL("revoke connect on database {} from public").format(Identifier(url.database)))
    print(f"database {url.database}: owned by {url.username}")


def make_bucket(name: str) -> None:
    """The bucket, by the AWS chain."""
    client = boto3.client("s3")
    try:
        client.head_bucket(Bucket=name)
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] != "404":
            raise
        client.create_bucket(Bucket=name)
    print(f"bucket {name}: there")


if __name__ == "__main__":
    main()
