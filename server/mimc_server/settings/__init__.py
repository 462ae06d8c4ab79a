"""What can be set: in a TOML file, by environment variables, by options; docs/reference/configuration.md lists it."""

from .addresses import Address, parse_address
from .certificates import Certificates
from .errors import SettingsError
from .loading import Loaded, load_settings
from .model import Admin, Http, Listen, Log, Metrics, Public, Settings, Tls, Tokens
from .printing import as_toml

__all__ = [
    "Address",
    "Admin",
    "Certificates",
    "Http",
    "Listen",
    "Loaded",
    "Log",
    "Metrics",
    "Public",
    "Settings",
    "SettingsError",
    "Tls",
    "Tokens",
    "as_toml",
    "load_settings",
    "parse_address",
]
