"""deploy/compose.yaml as a file: valid, complete, and every service fenced in."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.deploy.compose_file import DEPLOY, SETTINGS, VARIABLE, UnsetVariableError, load
from ae_assets_tests.deploy.stack import start_order

SPECIFICATION = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return load()


def faults(compose: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SPECIFICATION)
    return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in validator.iter_errors(compose)]


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    assert faults(compose) == []
    assert faults({**compose, "services": {"code": {"image": "ae-assets", "readonly": True}}})


def test_every_volume_network_and_file_that_is_named_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"].values()
    volumes = {mount.split(":")[0] for service in services for mount in service.get("volumes", [])}
    networks = {name for service in services for name in service.get("networks", [])}
    configs = {config["source"] for service in services for config in service.get("configs", [])}

    assert volumes == compose["volumes"].keys()
    assert networks == compose["networks"].keys()
    assert configs == compose["configs"].keys()
    assert all((DEPLOY / config["file"]).is_file() for config in compose["configs"].values())
    assert [name for group in start_order(compose["services"]) for name in group][-2:] == ["webserver", "daemon"]


def test_every_service_is_fenced_in(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), f"{name} may be root"
        assert service["restart"] != "always", name


def test_every_service_that_stays_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    stays = {name for name, service in compose["services"].items() if service["restart"] == "unless-stopped"}

    assert stays == {name for name, service in compose["services"].items() if "healthcheck" in service}
    assert stays == {"database", "storage", "code", "webserver", "daemon"}


def test_images_of_others_are_pinned(compose: dict[str, Any]) -> None:
    images = {service["image"] for service in compose["services"].values()} - {"ae-assets:latest"}

    assert images
    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []


def test_only_the_ui_is_reached_from_outside_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}

    assert ports == {"webserver": ["127.0.0.1:3000:3000"]}
    assert compose["networks"]["data"] == {"internal": True}
    assert all(compose["services"][name]["networks"] == ["data"] for name in ("database", "storage", "prepare"))


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_a_setting_that_is_missing_is_named(name: str, value: str | None) -> None:
    settings = {key: given for key, given in SETTINGS.items() if key != name}
    if value is not None:
        settings[name] = value

    with pytest.raises(UnsetVariableError, match=f"{name}: .*deploy/.env"):
        load(settings)


def test_the_example_names_every_setting_and_holds_no_secret() -> None:
    example = (DEPLOY / ".env.example").read_text()
    named = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    used = {found["name"] for found in VARIABLE.finditer((DEPLOY / "compose.yaml").read_text())}

    assert named.keys() == used
    assert {name: named[name] for name in SETTINGS} == dict.fromkeys(SETTINGS, "")
    assert "deploy/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_the_administrators_password_is_given_to_two_services_only(compose: dict[str, Any]) -> None:
    password = SETTINGS["DATABASE_ADMIN_PASSWORD"]
    given = {name for name, one in compose["services"].items() if password in str(one.get("environment", {}))}

    assert given == {"database", "prepare"}


def test_the_health_check_and_the_command_of_the_code_server_are_those_of_the_image(compose: dict[str, Any]) -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    declared = [json.loads(found) for found in re.findall(r"CMD (\[.*\])", dockerfile)]

    code = compose["services"]["code"]
    assert declared == [code["healthcheck"]["test"][1:], code["command"]]
    assert f"USER {code['user']}" in dockerfile


def test_the_instance_names_its_database_by_a_variable_only() -> None:
    instance = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())

    assert instance["storage"] == {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    assert instance["telemetry"] == {"enabled": False}


def test_servers_started_without_an_address_listen_on_this_machine_only() -> None:
    from dagster_webserver.cli import DEFAULT_WEBSERVER_HOST, dagster_webserver

    (host,) = (option for option in dagster_webserver.params if option.name == "host")
    assert (host.default, DEFAULT_WEBSERVER_HOST) == ("127.0.0.1", "127.0.0.1")
