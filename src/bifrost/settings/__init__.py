"""Settings: `config.json`, over it the environment, checked as a whole before anything starts (contract §10)."""

from bifrost.settings.load import ADMIN_TOKEN, ENVIRONMENT_PREFIX, environment, hand_down, load
from bifrost.settings.models import ConfigurationError, Settings, UpstreamSettings, VirtualKeySettings

__all__ = [
    "ADMIN_TOKEN",
    "ENVIRONMENT_PREFIX",
    "ConfigurationError",
    "Settings",
    "UpstreamSettings",
    "VirtualKeySettings",
    "environment",
    "hand_down",
    "load",
]
