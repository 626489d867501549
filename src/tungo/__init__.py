"""TunGo: a VPN over UDP, TCP and WebSocket."""

__version__ = "0.1.0"
