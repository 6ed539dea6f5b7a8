"""Reads the small data files of the program and of its users: TOML, or YAML where PyYAML is installed."""

from pathlib import Path

from .errors import UserError

SIZE_LIMIT = 1 << 20


def read(path: str | Path) -> dict:
    """The content of a .toml, .yaml or .yml file; `UserError` if there is none, or if it is not a table of values."""
    path = Path(path)
    loaders = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml}
    if path.suffix not in loaders:
        raise UserError(f"{path}: expected a .toml or .yaml file")
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise UserError(f"{path}: larger than {SIZE_LIMIT} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or 'not UTF-8'})") from None
    content = loaders[path.suffix](text, path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a table of values")
    return content


def _toml(text, path):
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as e:  # numbers of thousands of digits and deep nesting are no TOMLDecodeError
        raise UserError(f"{path}: {e}") from None


def _yaml(text, path):
    try:
        import yaml
    except ModuleNotFoundError:
        raise UserError(
            f"{path}: reading YAML takes PyYAML (pip install pyyaml); the same table as .toml needs nothing"
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as e:  # dates that are none, and such
        raise UserError(f"{path}: {' '.join(str(e).split())}") from None
