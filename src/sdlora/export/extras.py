"""Packages that only an export needs."""

from __future__ import annotations

from importlib import import_module

from sdlora.errors import ConfigError

INSTALL = 'pip install "sdlora[export]"'


def need(target: str, *packages: str) -> None:
    """Import packages that an export needs.

    Raises:
        ConfigError: If one is not installed; the message names them all and the command that installs them.
    """
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ConfigError(f"export to {target} needs {', '.join(packages)}: {error}", fix=INSTALL) from error
