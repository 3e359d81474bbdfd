"""Keys that stand twice in a YAML file."""

from ae_assets.pipeline.repeated_keys import RepeatedKey, repeated_keys

YAML = """\
type: ae_assets.AnomalyPipeline
attributes:
  table: fleet
  threshold:
    policy: percentile
    percentile: 99.9
  comparisons:
    - type: pca
      seed: 1
      seed: 2
  threshold:
    policy: iqr
"""


def test_each_key_that_stands_twice_is_found_with_both_lines() -> None:
    assert repeated_keys(YAML) == [
        RepeatedKey("attributes.comparisons.0.seed", 9, 10),
        RepeatedKey("attributes.threshold", 4, 11),
    ]
    assert repeated_keys(f"a: 1\n---\n{YAML}")[0].line == 12


def test_equal_keys_of_different_mappings_are_no_repetition() -> None:
    assert repeated_keys("a: {b: 1}\nc: {b: 1}\nd: [{b: 1}, {b: 2}]\n") == []
    assert repeated_keys("") == []
