"""Tables that are loaded only where an environment variable is set."""

import re

import pytest

from ae_assets.cli.chain_run import SOURCE_SETTINGS
from ae_assets.cli.instance import load_table
from ae_assets.errors import ConfigError
from ae_assets_tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("table", "variable"),
    [
        ("water_level", "WATER_LEVEL_LOCATION"),
        ("sewer_flow", "SEWER_FLOW_LOCATION"),
        ("flow_channels", "FLOW_CHANNELS_LOCATION"),
        ("cloudwatch", "CLOUDWATCH_LOCATION"),
        ("cloudwatch_metrics", "CLOUDWATCH_LOCATION"),
    ],
)
def test_a_table_whose_variable_is_not_set_is_not_loaded_and_says_so(
    table: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=f"only where {variable} is set"):
        load_table(table)
    monkeypatch.setenv(variable, "simulated://?entities=2&days=10")
    loaded = load_table(table)
    assert loaded.table.table == table
    keys = {key.path[0] for key in loaded.definitions.resolve_asset_graph().get_all_asset_keys()}
    both = {"cloudwatch", "cloudwatch_metrics"}  # of the same files
    assert keys == {"drive_stats", *(both if table in both else {table})}


def test_the_command_that_opens_the_ui_names_where_each_table_of_this_package_is_read_from() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "ae_assets" / "defs").glob("*/defs.yaml")]
    variables = {found for text in texts for found in re.findall(r"^  only_with: (\w+)$", text, re.MULTILINE)}
    assert len(variables) > 3
    assert variables <= set(SOURCE_SETTINGS)
