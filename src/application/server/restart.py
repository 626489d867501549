"""What a running server keeps to until it is restarted, whatever its configuration says meanwhile.

Peers take effect at once; ``Host`` and ``ClientCounter`` concern only who makes new clients, and so do the
resolvers and the time to dial in a server's profiles. Certificates that change in their files are taken up by
the listener; only other files take a restart.
"""

from collections.abc import Mapping

from domain.settings.profile import TransportProfile
from domain.settings.rules import settings_path
from domain.settings.server import ServerSettings


def restart_keys(running: ServerSettings, changed: ServerSettings) -> tuple[str, ...]:
    """The keys (``UDPSettings.Port``) of ``changed`` that a server started with ``running`` does not heed.

    They stand in the order of the file. The settings of a transport count only if it is enabled in both: of
    one that is switched on or off, the switch says everything.
    """
    before, after = _fixed(running), _fixed(changed)
    return tuple(key for key, value in before.items() if key in after and after[key] != value)


def _fixed(settings: ServerSettings) -> Mapping[str, object]:
    fixed: dict[str, object] = {}
    for slot, profile in settings.slots:
        if slot in settings.enabled:
            path = settings_path(slot)
            fixed.update((f"{path}.{key}", value) for key, value in _fixed_in(profile).items())
    fixed["X25519PublicKey"] = settings.public_key
    fixed["X25519PrivateKey"] = settings.private_key
    for slot, _ in settings.slots:
        fixed[f"Enable{slot.value}"] = slot in settings.enabled
    fixed["ClientIsolation"] = settings.client_isolation
    fixed["NAT"] = settings.nat
    fixed["Offload.TunSegmentation"] = settings.offload.tun_segmentation
    fixed["Offload.UdpSegmentation"] = settings.offload.udp_segmentation
    fixed["Offload.UdpCoalescing"] = settings.offload.udp_coalescing
    fixed["Aggregation"] = settings.aggregation
    return fixed


def _fixed_in(profile: TransportProfile) -> Mapping[str, object]:
    """Without ``Protocol``: beside a certificate WS and WSS mean the same, and nothing else is valid."""
    return {
        "TunName": profile.interface_name,
        "IPv4Subnet": profile.ipv4_subnet,
        "IPv6Subnet": profile.ipv6_subnet,
        "Server": (profile.server.ipv4, profile.server.ipv6),
        "Port": profile.port,
        "MTU": profile.mtu_bytes,
        "TLS.CertificateFile": profile.tls.certificate_file,
        "TLS.KeyFile": profile.tls.key_file,
        "TrustedProxies": profile.trusted_proxies,
    }
