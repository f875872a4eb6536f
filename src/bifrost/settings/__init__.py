"""Settings: `config.json`, over it the environment, checked as a whole before anything starts (contract §10)."""

from bifrost.settings.load import ENVIRONMENT_PREFIX, environment, hand_down, load
from bifrost.settings.models import (
    ConfigurationError,
    RegisteredClientSettings,
    Settings,
    UpstreamSettings,
    VirtualKeySettings,
    VirtualMcpSettings,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "ConfigurationError",
    "RegisteredClientSettings",
    "Settings",
    "UpstreamSettings",
    "VirtualKeySettings",
    "VirtualMcpSettings",
    "environment",
    "hand_down",
    "load",
]
