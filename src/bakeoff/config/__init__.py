"""Options from YAML to frozen dataclasses and back, strictly."""

from bakeoff.config.loading import from_mapping, to_mapping
from bakeoff.config.overrides import apply_overrides, differences, differing, parse_override
from bakeoff.config.yaml_file import dump_yaml, load_yaml

__all__ = [
    "apply_overrides",
    "differences",
    "differing",
    "dump_yaml",
    "from_mapping",
    "load_yaml",
    "parse_override",
    "to_mapping",
]
