"""The rules for settings: each broken one is named, and all of them at once."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

import pytest

from domain.addressing.peers import Peer
from domain.settings.client import ClientSettings
from domain.settings.defaults import default_server_settings
from domain.settings.errors import Problem, SettingsError
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from domain.settings.routing import TunnelRouting
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_client, validate_server
from tests.domain.settings.samples import CLIENT_PRIVATE_KEY, a_client, a_server, public_key_of, with_ipv6

UDP, TCP, WS, WSS = TransportProtocol
CERTIFICATE: Final = TlsSettings(certificate_file="/cert.pem", key_file="/key.pem")
PROXIES: Final = (IPv4Network("192.0.2.1/32"),)


def problems_of(settings: ServerSettings | ClientSettings) -> list[Problem]:
    try:
        if isinstance(settings, ServerSettings):
            validate_server(settings, public_key_of)
        else:
            validate_client(settings, public_key_of)
    except SettingsError as exc:
        return list(exc.problems)
    return []


def only_problem(settings: ServerSettings | ClientSettings) -> Problem:
    problems = problems_of(settings)
    assert len(problems) == 1, problems
    return problems[0]


def with_udp_name(name: str) -> ServerSettings:
    server = a_server()
    return replace(server, udp=replace(server.udp, interface_name=name))


def with_udp_mtu(mtu_bytes: int) -> ServerSettings:
    server = a_server()
    return replace(server, udp=replace(server.udp, mtu_bytes=mtu_bytes))


def test_a_fresh_server_without_keys_and_peers_is_valid() -> None:
    assert problems_of(default_server_settings()) == []


def test_a_full_server_and_its_client_are_valid() -> None:
    assert problems_of(a_server()) == []
    assert problems_of(a_client()) == []


@pytest.mark.parametrize("host", ["", "203.0.113.7", "[2001:db8::7]", "vpn.example.org", " vpn.example.org "])
def test_a_host_that_clients_can_find_is_valid(host: str) -> None:
    assert problems_of(replace(a_server(), host=host)) == []


@pytest.mark.parametrize("host", ["  ", "not a host/!!", "256.1.1.1", "fe80::1%eth0"])
def test_a_host_that_nobody_can_find_is_a_problem(host: str) -> None:
    assert only_problem(replace(a_server(), host=host)).path == "Host"


@pytest.mark.parametrize("name", ["", "name-of-16-bytes", "a b", "a/b", "a:b", "..", "-x", "ü", "a%d", "a\n"])
def test_an_interface_name_that_linux_or_a_tool_refuses_is_a_problem(name: str) -> None:
    assert only_problem(with_udp_name(name)).path == "UDPSettings.TunName"


@pytest.mark.parametrize("name", ["t", "s_udptun0", "name-of-15-byte", "_x.1"])
def test_ordinary_interface_names_are_valid(name: str) -> None:
    assert problems_of(with_udp_name(name)) == []


def test_two_profiles_with_one_interface_name_are_a_problem_even_when_disabled() -> None:
    server = replace(with_udp_name("s_tcptun0"), enabled=frozenset({TransportProtocol.UDP}))
    problem = only_problem(server)
    assert problem.path == "UDPSettings.TunName"
    assert "TCPSettings" in problem.expected


def test_a_server_without_any_transport_is_a_problem() -> None:
    problem = only_problem(replace(a_server(), enabled=frozenset()))
    assert problem.expected == "at least one of EnableTCP, EnableUDP, EnableWS to be true"


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_out_of_range_is_a_problem(port: int) -> None:
    server = a_server()
    assert only_problem(replace(server, tcp=replace(server.tcp, port=port))).path == "TCPSettings.Port"


def test_two_transports_on_one_port_are_a_problem_although_the_kernel_allows_it() -> None:
    server = a_server()
    problem = only_problem(replace(server, udp=replace(server.udp, port=server.tcp.port)))
    assert (problem.path, problem.value) == ("UDPSettings.Port", "8080")


def test_disabled_transports_may_have_clashing_ports_and_subnets() -> None:
    server = a_server()
    udp = replace(server.udp, port=server.tcp.port, ipv4_subnet=server.tcp.ipv4_subnet)
    assert problems_of(replace(server, udp=udp, enabled=frozenset({TransportProtocol.UDP}))) == []


@pytest.mark.parametrize("mtu_bytes", [575, 1501, 9000, -1])
def test_an_mtu_that_the_packet_buffers_do_not_hold_is_a_problem(mtu_bytes: int) -> None:
    problem = only_problem(with_udp_mtu(mtu_bytes))
    assert (problem.path, problem.value) == ("UDPSettings.MTU", str(mtu_bytes))
    assert problem.expected == "576 to 1500 bytes"


@pytest.mark.parametrize("mtu_bytes", [576, 1500])
def test_an_mtu_at_the_limits_is_valid(mtu_bytes: int) -> None:
    assert problems_of(with_udp_mtu(mtu_bytes)) == []


def test_an_mtu_at_which_linux_drops_ipv6_is_a_problem_with_ipv6() -> None:
    server = with_udp_mtu(1279)
    problem = only_problem(replace(server, udp=with_ipv6(server.udp)))
    assert problem.path == "UDPSettings.MTU"
    assert "1280" in problem.expected
    enough = with_udp_mtu(1280)
    assert problems_of(replace(enough, udp=with_ipv6(enough.udp))) == []


@pytest.mark.parametrize("protocol", [TransportProtocol.TCP, TransportProtocol.WSS])
def test_a_protocol_in_the_wrong_slot_is_a_problem(protocol: TransportProtocol) -> None:
    server = a_server()
    problem = only_problem(replace(server, ws=replace(server.ws, protocol=protocol)))
    assert (problem.path, problem.value) == ("WSSettings.Protocol", f"'{protocol.value}'")


@pytest.mark.parametrize("protocol", [WS, WSS])
def test_with_a_certificate_the_websocket_profile_may_say_either(protocol: TransportProtocol) -> None:
    server = a_server()
    assert problems_of(replace(server, ws=replace(server.ws, protocol=protocol, tls=CERTIFICATE))) == []


def test_wss_without_a_certificate_is_a_problem_that_says_what_to_set() -> None:
    server = a_server()
    problem = only_problem(replace(server, ws=replace(server.ws, protocol=WSS)))
    assert problem.sentence == (
        "WSSettings.Protocol is 'WSS', expected WS, or TLS.CertificateFile and TLS.KeyFile beside it, "
        "without which nobody can speak TLS"
    )
    assert problem.concerns("WSSettings.TLS.KeyFile")


@pytest.mark.parametrize("protocol", [WS, WSS])
@pytest.mark.parametrize(
    ("half", "path", "expected"),
    [
        ("key_file", "WSSettings.TLS.CertificateFile", "the path of the certificate that goes with KeyFile"),
        (
            "certificate_file",
            "WSSettings.TLS.KeyFile",
            "the path of the private key that goes with CertificateFile",
        ),
    ],
)
def test_a_certificate_or_a_key_alone_is_a_problem(
    protocol: TransportProtocol, half: str, path: str, expected: str
) -> None:
    server = a_server()
    tls = (
        TlsSettings(key_file="/key.pem") if half == "key_file" else TlsSettings(certificate_file="/cert.pem")
    )
    problem = only_problem(replace(server, ws=replace(server.ws, protocol=protocol, tls=tls)))
    assert (problem.path, problem.value, problem.expected) == (path, "not set", expected)


@pytest.mark.parametrize(
    ("tls", "key"),
    [
        (TlsSettings(ca_file="/ca.pem"), "CAFile"),
        (TlsSettings(pinned_certificate=bytes(32)), "PinnedCertificate"),
        (TlsSettings(server_name="vpn.example.org"), "ServerName"),
    ],
)
def test_what_checks_certificates_is_a_problem_on_a_server_where_nothing_does(
    tls: TlsSettings, key: str
) -> None:
    server = a_server()
    problem = only_problem(replace(server, ws=replace(server.ws, tls=tls)))
    assert problem.path == f"WSSettings.TLS.{key}"
    assert problem.expected == "nothing, for a server checks no certificate; it belongs into a client's file"


def test_tls_is_a_problem_where_there_is_no_websocket() -> None:
    server, client = a_server(), replace(a_client(), protocol=TCP)
    expected = "TCPSettings.TLS is set, expected nothing, for TLS comes with WebSockets alone, in WSSettings"
    assert only_problem(replace(server, tcp=replace(server.tcp, tls=CERTIFICATE))).sentence == expected
    udp = replace(server.udp, tls=TlsSettings(server_name="a"))
    assert only_problem(replace(server, udp=udp)).path == "UDPSettings.TLS"
    tls = TlsSettings(ca_file="/ca.pem")
    assert only_problem(replace(client, tcp=replace(client.tcp, tls=tls))).sentence == expected


def test_proxies_may_stand_in_front_of_streams_but_not_of_udp() -> None:
    server = a_server()
    streams = replace(
        server,
        tcp=replace(server.tcp, trusted_proxies=PROXIES),
        ws=replace(server.ws, trusted_proxies=PROXIES),
    )
    assert problems_of(streams) == []
    udp = replace(server.udp, trusted_proxies=PROXIES)
    assert only_problem(replace(server, udp=udp)).path == "UDPSettings.TrustedProxies"


def test_what_a_disabled_profile_says_about_tls_and_proxies_is_not_examined() -> None:
    server = replace(a_server(), enabled=frozenset({UDP}))
    ws = replace(server.ws, protocol=WSS, tls=TlsSettings(key_file="/key.pem"))
    assert problems_of(replace(server, ws=ws, tcp=replace(server.tcp, tls=CERTIFICATE))) == []


def test_overlapping_ipv4_subnets_are_a_problem() -> None:
    server = a_server()
    problem = only_problem(replace(server, ws=replace(server.ws, ipv4_subnet=IPv4Network("10.0.1.128/25"))))
    assert problem.path == "WSSettings.IPv4Subnet"
    assert "UDPSettings" in problem.expected


def test_overlapping_ipv6_subnets_are_a_problem() -> None:
    server = a_server()
    overlapping = replace(server, tcp=with_ipv6(server.tcp), ws=with_ipv6(server.ws, "fd00::/16"))
    assert only_problem(overlapping).path == "WSSettings.IPv6Subnet"


def test_a_subnet_without_room_for_a_client_is_a_problem() -> None:
    server = replace(a_server(), peers=())
    assert only_problem(
        replace(server, udp=replace(server.udp, ipv4_subnet=IPv4Network("10.0.1.0/31")))
    ).path == ("UDPSettings.IPv4Subnet")
    tiny = replace(server.udp, ipv6_subnet=IPv6Network("fd00::/127"))
    assert only_problem(replace(server, udp=tiny)).path == "UDPSettings.IPv6Subnet"


def test_a_domain_to_bind_is_a_problem() -> None:
    server = a_server()
    domain = ServerAddress(domain="vpn.example.org")
    problem = only_problem(replace(server, udp=replace(server.udp, server=domain)))
    assert problem.path == "UDPSettings.Server.Domain"
    with_address = replace(domain, ipv4=IPv4Address("192.0.2.1"))
    assert problems_of(replace(server, udp=replace(server.udp, server=with_address))) == []


@pytest.mark.parametrize(
    ("public_key", "private_key"), [(b"", b"p" * 32), (b"p" * 32, b""), (b"p", b"q" * 32)]
)
def test_half_a_key_pair_is_a_problem(public_key: bytes, private_key: bytes) -> None:
    problem = only_problem(replace(a_server(), public_key=public_key, private_key=private_key))
    assert problem.expected == "a key of 32 bytes in base64"


def test_keys_that_do_not_belong_together_are_a_problem() -> None:
    problem = only_problem(replace(a_server(), public_key=b"p" * 32))
    assert problem.path == "X25519PublicKey"
    assert "X25519PrivateKey" in problem.expected


def test_a_negative_counter_is_a_problem() -> None:
    assert only_problem(replace(a_server(), client_counter=-1)).path == "ClientCounter"


def test_a_counter_behind_a_client_id_is_none_for_whoever_renumbers_by_hand_leaves_it_so() -> None:
    peers = (Peer(b"k" * 32, 7),)
    assert problems_of(replace(a_server(), peers=peers, client_counter=6)) == []


@pytest.mark.parametrize(
    ("peer", "path", "expected"),
    [
        (Peer(b"short", 2), "AllowedPeers[1].PublicKey", "32 bytes"),
        (Peer(public_key_of(CLIENT_PRIVATE_KEY), 2), "AllowedPeers[1].PublicKey", "AllowedPeers[0]"),
        (Peer(b"k" * 32, 1), "AllowedPeers[1].ClientID", "AllowedPeers[0]"),
        (Peer(b"k" * 32, 0), "AllowedPeers[1].ClientID", "1 or more"),
        (Peer(b"k" * 32, -7), "AllowedPeers[1].ClientID", "1 or more"),
    ],
)
def test_a_peer_that_cannot_be_admitted_is_a_problem(peer: Peer, path: str, expected: str) -> None:
    server = a_server()
    problem = only_problem(replace(server, peers=(*server.peers, peer), client_counter=2))
    assert problem.path == path
    assert expected in problem.expected


def test_a_client_id_without_an_address_is_a_problem_for_every_transport_that_lacks_it() -> None:
    server = a_server()
    udp = replace(server.udp, ipv4_subnet=IPv4Network("10.0.1.0/29"))
    problem = only_problem(replace(server, udp=udp, peers=(Peer(b"k" * 32, 6),), client_counter=6))
    assert problem.path == "AllowedPeers[0].ClientID"
    assert problem.expected == "1 to 5 in 10.0.1.0/29, the subnet of UDPSettings"
    assert problem.related == ("UDPSettings.IPv4Subnet",)


def test_all_problems_of_a_server_are_told_at_once() -> None:
    server = a_server()
    broken = replace(
        server,
        host=" ",
        tcp=replace(server.tcp, port=0, mtu_bytes=1),
        udp=replace(server.udp, interface_name="", protocol=TransportProtocol.TCP),
        public_key=b"x",
        client_counter=-1,
        peers=(Peer(b"k", 0),),
    )
    assert [problem.path for problem in problems_of(broken)] == [
        "Host",
        "UDPSettings.TunName",
        "TCPSettings.Port",
        "TCPSettings.MTU",
        "UDPSettings.Protocol",
        "X25519PublicKey",
        "ClientCounter",
        "AllowedPeers[0].PublicKey",
        "AllowedPeers[0].ClientID",
    ]


@pytest.mark.parametrize("client_id", [0, -1, 254])
def test_a_client_id_out_of_range_is_a_problem_of_the_client(client_id: int) -> None:
    assert only_problem(replace(a_client(), client_id=client_id)).path == "ClientID"


def test_client_keys_of_a_wrong_size_are_problems() -> None:
    client = replace(a_client(), server_public_key=b"", public_key=b"1", private_key=b"2" * 33)
    assert [(problem.path, problem.value) for problem in problems_of(client)] == [
        ("X25519PublicKey", "0 bytes"),
        ("ClientPublicKey", "1 bytes"),
        ("ClientPrivateKey", "33 bytes"),
    ]


def test_client_keys_that_do_not_belong_together_are_a_problem() -> None:
    assert only_problem(replace(a_client(), private_key=b"q" * 32)).path == "ClientPublicKey"


def test_a_client_without_a_server_address_is_a_problem() -> None:
    client = a_client()
    nowhere = replace(client, udp=replace(client.udp, server=ServerAddress()))
    assert only_problem(nowhere).path == "UDPSettings.Server"


def test_a_domain_that_no_resolver_takes_is_a_problem_of_the_client() -> None:
    client = a_client()
    address = ServerAddress(domain="!!", ipv6=IPv6Address("2001:db8::7"))
    assert only_problem(replace(client, udp=replace(client.udp, server=address))).path == (
        "UDPSettings.Server.Domain"
    )


def test_port_zero_is_for_wss_alone() -> None:
    client = a_client()
    client = replace(client, ws=replace(client.ws, port=0))
    assert problems_of(replace(client, protocol=TransportProtocol.WSS)) == []
    assert only_problem(replace(client, protocol=TransportProtocol.WS)).path == "WSSettings.Port"


def test_the_profiles_that_a_client_does_not_use_are_not_examined() -> None:
    client = a_client()
    unused = replace(client.tcp, interface_name="", port=0, mtu_bytes=0, server=ServerAddress())
    assert problems_of(replace(client, tcp=unused, ws=unused)) == []
    assert len(problems_of(replace(client, udp=unused))) == 4


def test_fallbacks_in_any_order_are_valid() -> None:
    assert problems_of(replace(a_client(), fallbacks=(WSS, TCP))) == []
    assert problems_of(replace(a_client(), protocol=WS, fallbacks=(TCP, UDP))) == []


@pytest.mark.parametrize(
    ("protocol", "fallbacks", "sentence"),
    [
        (UDP, (TCP, UDP), "FallbackProtocols[1] is 'UDP', expected a protocol that Protocol does not name"),
        (
            UDP,
            (TCP, WS, TCP),
            "FallbackProtocols[2] is 'TCP', expected a protocol that FallbackProtocols[0] does not name",
        ),
        (
            WS,
            (WSS,),
            "FallbackProtocols[0] is 'WSS', expected no WSS beside the WS of Protocol: they share WSSettings",
        ),
        (
            UDP,
            (WSS, WS),
            (
                "FallbackProtocols[1] is 'WS', "
                "expected no WS beside the WSS of FallbackProtocols[0]: they share WSSettings"
            ),
        ),
    ],
)
def test_a_fallback_that_is_no_other_way_is_a_problem(
    protocol: TransportProtocol, fallbacks: tuple[TransportProtocol, ...], sentence: str
) -> None:
    client = replace(a_client(), protocol=protocol, fallbacks=fallbacks)
    assert only_problem(client).sentence == sentence


@pytest.mark.parametrize("seconds", [0, -1, 86401])
def test_an_interval_out_of_range_is_a_problem(seconds: int) -> None:
    problem = only_problem(replace(a_client(), fallback_retry_s=seconds))
    assert problem.sentence == f"FallbackRetrySeconds is {seconds}, expected 1 to 86400 seconds"
    assert only_problem(replace(a_client(), rekey_interval_s=seconds)).path == "RekeyIntervalSeconds"


@pytest.mark.parametrize("seconds", [1, 86400])
def test_an_interval_at_the_limits_is_valid(seconds: int) -> None:
    assert problems_of(replace(a_client(), fallback_retry_s=seconds, rekey_interval_s=seconds)) == []


def test_the_profile_of_a_fallback_is_examined_as_that_of_the_protocol() -> None:
    client = a_client()
    broken = replace(
        client.tcp,
        interface_name="",
        port=0,
        mtu_bytes=0,
        server=ServerAddress(),
        ipv4_subnet=IPv4Network("10.0.0.0/31"),
    )
    assert [problem.path for problem in problems_of(replace(client, tcp=broken, fallbacks=(TCP,)))] == [
        "ClientID",
        "TCPSettings.TunName",
        "TCPSettings.Server",
        "TCPSettings.Port",
        "TCPSettings.MTU",
    ]


def test_port_zero_is_for_wss_alone_among_the_fallbacks_too() -> None:
    client = a_client()
    client = replace(client, ws=replace(client.ws, port=0))
    assert problems_of(replace(client, fallbacks=(WSS,))) == []
    assert only_problem(replace(client, fallbacks=(WS,))).path == "WSSettings.Port"


def test_two_transports_in_use_with_one_interface_name_are_a_problem() -> None:
    client = a_client()
    client = replace(client, tcp=replace(client.tcp, interface_name=client.udp.interface_name))
    assert problems_of(client) == []
    problem = only_problem(replace(client, fallbacks=(TCP,)))
    assert problem.sentence == (
        "TCPSettings.TunName is 'c_udptun0', expected a name that UDPSettings does not use"
    )


def test_a_client_over_websocket_may_say_whom_it_trusts() -> None:
    client = replace(a_client(), protocol=WSS)
    tls = TlsSettings(ca_file="/ca.pem", pinned_certificate=bytes(32), server_name="vpn.example.org")
    assert problems_of(replace(client, ws=replace(client.ws, tls=tls))) == []


@pytest.mark.parametrize("size_bytes", [0, 20, 31, 33])
def test_a_pin_that_is_no_sha_256_is_a_problem(size_bytes: int) -> None:
    client = replace(a_client(), protocol=WSS)
    tls = TlsSettings(pinned_certificate=bytes(size_bytes))
    assert only_problem(replace(client, ws=replace(client.ws, tls=tls))).sentence == (
        f"WSSettings.TLS.PinnedCertificate is {size_bytes} bytes, "
        "expected the SHA-256 of a certificate, 32 bytes in 64 hex digits"
    )


@pytest.mark.parametrize("name", ["", "a b", "192.0.2.1", "-"])
def test_a_server_name_that_no_certificate_has_is_a_problem(name: str) -> None:
    client = replace(a_client(), protocol=WSS)
    tls = TlsSettings(server_name=name)
    assert only_problem(replace(client, ws=replace(client.ws, tls=tls))).path == "WSSettings.TLS.ServerName"


def test_what_belongs_into_the_servers_file_is_a_problem_of_the_client() -> None:
    client = replace(a_client(), fallbacks=(TCP, WSS))
    ws = replace(client.ws, tls=CERTIFICATE, trusted_proxies=PROXIES)
    tcp = replace(client.tcp, trusted_proxies=PROXIES)
    assert [problem.path for problem in problems_of(replace(client, tcp=tcp, ws=ws))] == [
        "TCPSettings.TrustedProxies",
        "WSSettings.TrustedProxies",
        "WSSettings.TLS.CertificateFile",
        "WSSettings.TLS.KeyFile",
    ]


def test_the_go_programs_client_mtu_is_valid_with_ipv6() -> None:
    client = a_client()
    udp = with_ipv6(replace(client.udp, mtu_bytes=1200))
    assert problems_of(replace(client, udp=udp)) == []
    assert udp.interface_mtu_bytes == 1280


def routed(client: ClientSettings, *, include: str = "", exclude: str = "") -> ClientSettings:
    """``client`` with the networks that stand in the two texts."""
    return replace(
        client,
        routing=TunnelRouting(
            include=tuple(map(ip_network, include.split())), exclude=tuple(map(ip_network, exclude.split()))
        ),
    )


@pytest.mark.parametrize(
    ("include", "exclude"),
    [
        ("", ""),
        ("10.0.0.0/8", "10.1.0.0/16"),
        ("10.0.0.0/8 fd00::/8", "10.0.0.0/8 128.0.0.0/1 fd00::/9"),
        ("", "0.0.0.0/1 128.0.0.0/2"),
        ("", "0.0.0.0/0"),
    ],
)
def test_networks_that_leave_something_for_the_tunnel_are_valid(include: str, exclude: str) -> None:
    client = a_client()
    client = replace(client, udp=with_ipv6(client.udp))
    assert problems_of(routed(client, include=include, exclude=exclude)) == []


@pytest.mark.parametrize(
    ("include", "exclude", "listed"),
    [
        ("", "0.0.0.0/0 ::/0", "0.0.0.0/0, ::/0"),
        ("", "0.0.0.0/0", "0.0.0.0/0"),
        ("", "128.0.0.0/1 0.0.0.0/1", "128.0.0.0/1, 0.0.0.0/1"),
        ("10.0.0.0/8 fd00::/8", "10.0.0.0/7", "10.0.0.0/7"),
    ],
)
def test_an_exclude_that_leaves_nothing_for_the_tunnel_is_a_problem(
    include: str, exclude: str, listed: str
) -> None:
    problem = only_problem(routed(a_client(), include=include, exclude=exclude))
    assert problem.sentence == f"Exclude is '{listed}', expected networks that leave something for the tunnel"
    assert problem.concerns("Include")


def test_an_include_of_ipv6_alone_is_a_problem_of_a_tunnel_without_it() -> None:
    client = routed(a_client(), include="fd00::/8 2001:db8::/32")
    assert only_problem(client).sentence == (
        "Include is 'fd00::/8, 2001:db8::/32', expected an IPv4 network, for the tunnel carries no IPv6"
    )
    assert problems_of(replace(client, udp=with_ipv6(client.udp))) == []


def test_a_fallback_with_ipv6_is_enough_for_an_include_of_ipv6() -> None:
    client = routed(a_client(), include="fd00::/8")
    assert problems_of(replace(client, tcp=with_ipv6(client.tcp), fallbacks=(TCP,))) == []


@pytest.mark.parametrize("kill_switch", [True, False])
def test_switches_are_valid_in_any_position(kill_switch: bool) -> None:
    routing = TunnelRouting(
        kill_switch=kill_switch, allow_lan=not kill_switch, exclude_lan=False, allow_ipv6_leak=True
    )
    assert problems_of(replace(a_client(), routing=routing)) == []
