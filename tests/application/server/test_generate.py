"""Generating clients: numbers, keys, addresses, MTU and what the person who asks is told."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from application.runtime.configuration import HostUnknownError, ServerConfiguration
from application.server.generate import (
    ClientKeyError,
    ClientWish,
    GenerateClient,
    GeneratedClient,
    Ipv6SubnetsAdded,
    NoFreeClientIdError,
    PeerDisabled,
    PrivateHostDetected,
    ServerKeysCreated,
)
from application.server.issue import NotServedError
from application.server.peers import PeerNameError, PeerUnknownError
from domain.addressing.peers import Peer
from domain.settings.profile import ServerAddress, TlsSettings, TransportProtocol
from domain.settings.server import ServerSettings
from domain.settings.validation import validate_client
from tests.adapters.configuration import KnownHost, MemoryServerConfiguration
from tests.adapters.entropy import SeededEntropy
from tests.adapters.primitives import PlainPrimitives
from tests.domain.settings.samples import a_server, public_key_of, with_ipv6

UDP, TCP, WS, WSS = TransportProtocol

PUBLIC_HOST = ServerAddress(ipv4=IPv4Address("8.8.4.4"))
DUAL_HOST = ServerAddress(ipv4=IPv4Address("8.8.4.4"), ipv6=IPv6Address("2001:4860::1"))


def generator(configuration: ServerConfiguration, host: ServerAddress, seed: int = 1) -> GenerateClient:
    return GenerateClient(configuration, KnownHost(host), PlainPrimitives(), SeededEntropy(seed))


def generate(
    settings: ServerSettings, host: ServerAddress = PUBLIC_HOST
) -> tuple[GeneratedClient, ServerSettings]:
    """One client of a server with ``settings``, and the settings afterwards."""
    configuration = MemoryServerConfiguration(settings)
    generated = generator(configuration, host).generate()
    validate_client(generated.settings, public_key_of)
    assert configuration.replacements == 1
    return generated, configuration.load()


def serving(*slots: TransportProtocol, tls: bool = False) -> ServerSettings:
    """A server with these listeners; with ``tls`` its WebSocket has a certificate."""
    server = replace(a_server(), enabled=frozenset(slots))
    if not tls:
        return server
    certificate = TlsSettings(certificate_file="/etc/tungo/cert.pem", key_file="/etc/tungo/key.pem")
    return replace(server, ws=replace(server.ws, tls=certificate))


def with_ids(*client_ids: int) -> ServerSettings:
    peers = tuple(Peer(bytes([client_id]) * 32, client_id) for client_id in client_ids)
    return replace(a_server(), peers=peers, client_counter=max(client_ids, default=0))


def test_the_first_client_of_a_fresh_server_gets_everything_it_needs() -> None:
    configuration = MemoryServerConfiguration()
    generated = generator(configuration, PUBLIC_HOST).generate()
    client, server = generated.settings, configuration.load()
    assert generated.notes == (ServerKeysCreated(),)
    assert server.public_key == public_key_of(server.private_key)
    assert client.server_public_key == server.public_key
    assert client.public_key == public_key_of(client.private_key)
    assert client.client_id == 1
    assert client.protocol is TransportProtocol.UDP
    assert client.active.interface_name == "c_udptun0"
    assert client.active.server == PUBLIC_HOST
    assert client.active.port == 9090
    assert str(client.addresses.ipv4) == "10.0.1.2/24"
    assert server.peers == (Peer(client.public_key, 1, "client-1", enabled=True),)


def test_the_server_keeps_no_private_key_of_a_client() -> None:
    generated, server = generate(a_server())
    assert repr(generated.settings.private_key)[2:-1] not in repr((server, server.private_key))
    assert generated.settings.private_key != server.private_key


def test_every_client_has_keys_of_its_own() -> None:
    configuration = MemoryServerConfiguration(a_server())
    use_case = generator(configuration, PUBLIC_HOST)
    first, second = use_case.generate().settings, use_case.generate().settings
    assert first.private_key != second.private_key
    assert (first.client_id, second.client_id) == (2, 3)


def test_existing_server_keys_stay() -> None:
    generated, server = generate(a_server())
    assert (server.public_key, server.private_key) == (a_server().public_key, a_server().private_key)
    assert ServerKeysCreated() not in generated.notes


@pytest.mark.parametrize(
    ("taken", "given"), [((), 1), ((1, 2, 3), 4), ((2, 3), 1), ((1, 3), 2), ((1, 2, 200), 3)]
)
def test_the_smallest_free_number_is_given(taken: tuple[int, ...], given: int) -> None:
    generated, server = generate(with_ids(*taken))
    assert generated.settings.client_id == given
    assert server.peers[-1].name == f"client-{given}"


@pytest.mark.parametrize(("counter", "after"), [(0, 9), (9, 9), (50, 50)])
def test_the_counter_never_lags_behind_a_number_in_use(counter: int, after: int) -> None:
    _, server = generate(replace(with_ids(1, 9), client_counter=counter))
    assert server.client_counter == after


def test_a_full_subnet_gives_no_more_clients_and_changes_nothing() -> None:
    full = with_ids(1, 2, 3, 4, 5)
    full = replace(full, udp=replace(full.udp, ipv4_subnet=IPv4Network("10.0.1.0/29")))
    configuration = MemoryServerConfiguration(full)
    with pytest.raises(NoFreeClientIdError, match="all 5 client numbers"):
        generator(configuration, PUBLIC_HOST).generate()
    assert configuration.load() == full


def test_the_ipv6_subnet_limits_the_numbers_as_well() -> None:
    full = with_ids(1, 2)
    full = replace(full, udp=with_ipv6(full.udp, "fd00:9::/126"))
    with pytest.raises(NoFreeClientIdError, match="all 2 client numbers"):
        generate(full)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("vpn.example.org", ServerAddress(domain="vpn.example.org")),
        ("203.0.113.7", ServerAddress(ipv4=IPv4Address("203.0.113.7"))),
        ("[2001:db8::7]", ServerAddress(ipv6=IPv6Address("2001:db8::7"))),
    ],
)
def test_a_host_in_the_settings_goes_into_every_profile_and_nothing_is_detected(
    host: str, address: ServerAddress
) -> None:
    generated, _ = generate(replace(a_server(), host=host), host=ServerAddress())
    assert [profile.server for _, profile in generated.settings.slots] == [address] * 3
    assert not any(isinstance(note, PrivateHostDetected) for note in generated.notes)


@pytest.mark.parametrize("detected", ["192.168.1.5", "10.1.2.3", "100.64.0.9", "127.0.0.1"])
def test_a_detected_address_that_the_internet_cannot_reach_is_told(detected: str) -> None:
    address = IPv4Address(detected)
    generated, _ = generate(replace(a_server(), host=""), ServerAddress(ipv4=address))
    (note,) = generated.notes
    assert note == PrivateHostDetected(address)
    assert detected in note.sentence


def test_without_host_and_route_nothing_changes() -> None:
    configuration = MemoryServerConfiguration(replace(a_server(), host=""))
    with pytest.raises(HostUnknownError):
        generator(configuration, ServerAddress()).generate()
    assert configuration.replacements == 0


@pytest.mark.parametrize(
    ("server_mtu_bytes", "udp_mtu_bytes"), [(1500, 1400), (1400, 1400), (1300, 1300), (576, 576)]
)
def test_a_client_over_udp_has_an_mtu_that_fits_the_path_and_never_more_than_the_server(
    server_mtu_bytes: int, udp_mtu_bytes: int
) -> None:
    server = a_server()
    server = replace(
        server,
        tcp=replace(server.tcp, mtu_bytes=server_mtu_bytes),
        udp=replace(server.udp, mtu_bytes=server_mtu_bytes),
    )
    client = generate(server)[0].settings
    assert client.udp.mtu_bytes == udp_mtu_bytes
    assert client.tcp.mtu_bytes == server_mtu_bytes
    assert client.ws.mtu_bytes == 1500


@pytest.mark.parametrize(
    ("server", "protocols"),
    [
        (serving(UDP, TCP, WS), (UDP, TCP, WS)),
        (serving(UDP, TCP, WS, tls=True), (UDP, TCP, WSS)),
        (serving(TCP, WS), (TCP, WS)),
        (serving(UDP, WS), (UDP, WS)),
        (serving(UDP), (UDP,)),
        (serving(WS), (WS,)),
        (serving(WS, tls=True), (WSS,)),
    ],
)
def test_the_client_uses_udp_before_tcp_before_websocket_and_falls_back_to_the_rest(
    server: ServerSettings, protocols: tuple[TransportProtocol, ...]
) -> None:
    assert generate(server)[0].settings.protocols == protocols


@pytest.mark.parametrize(
    ("protocol", "tls", "protocols"),
    [
        (UDP, False, (UDP, TCP, WS)),
        (TCP, False, (TCP, UDP, WS)),
        (WS, False, (WS, UDP, TCP)),
        (WSS, True, (WSS, UDP, TCP)),
        (TCP, True, (TCP, UDP, WSS)),
    ],
)
def test_the_protocol_that_was_asked_for_comes_first(
    protocol: TransportProtocol, tls: bool, protocols: tuple[TransportProtocol, ...]
) -> None:
    configuration = MemoryServerConfiguration(serving(UDP, TCP, WS, tls=tls))
    client = generator(configuration, PUBLIC_HOST).generate(ClientWish(protocol=protocol)).settings
    assert client.protocols == protocols
    validate_client(client, public_key_of)


@pytest.mark.parametrize(
    ("server", "protocol", "sentence"),
    [
        (serving(TCP), UDP, "this server does not serve UDP; set EnableUDP to true"),
        (serving(UDP), TCP, "this server does not serve TCP; set EnableTCP to true"),
        (serving(UDP, tls=True), WSS, "this server does not serve WSS; set EnableWS to true"),
        (
            serving(UDP),
            WSS,
            (
                "this server does not serve WSS; set EnableWS to true "
                "and set CertificateFile and KeyFile in WSSettings.TLS"
            ),
        ),
        (
            serving(WS),
            WSS,
            "this server does not serve WSS; set CertificateFile and KeyFile in WSSettings.TLS",
        ),
        (
            serving(WS, tls=True),
            WS,
            (
                "this server does not serve WS; ask for WSS "
                "or take CertificateFile and KeyFile out of WSSettings.TLS"
            ),
        ),
    ],
)
def test_a_protocol_that_is_not_served_is_refused_with_what_to_set_and_changes_nothing(
    server: ServerSettings, protocol: TransportProtocol, sentence: str
) -> None:
    configuration = MemoryServerConfiguration(server)
    with pytest.raises(NotServedError) as caught:
        generator(configuration, PUBLIC_HOST).generate(ClientWish(protocol=protocol))
    assert str(caught.value) == sentence
    assert caught.value.protocol is protocol
    assert configuration.replacements == 0


def test_what_only_the_server_has_to_know_is_not_given_to_clients() -> None:
    server = serving(UDP, TCP, WS, tls=True)
    proxies = (IPv4Network("127.0.0.1/32"),)
    server = replace(
        server,
        tcp=replace(server.tcp, trusted_proxies=proxies),
        ws=replace(server.ws, trusted_proxies=proxies, protocol=WSS),
    )
    client = generate(server)[0].settings
    assert [(profile.tls, profile.trusted_proxies) for _, profile in client.slots] == [
        (TlsSettings(), ())
    ] * 3
    assert client.ws.protocol is WSS
    assert client.ws.port == server.ws.port


def test_a_client_has_the_servers_subnets_and_its_own_interface_names() -> None:
    generated, server = generate(a_server())
    client = generated.settings
    assert [profile.interface_name for _, profile in client.slots] == ["c_tcptun0", "c_udptun0", "c_wstun0"]
    assert [profile.ipv4_subnet for _, profile in client.slots] == [
        profile.ipv4_subnet for _, profile in server.slots
    ]


def test_resolvers_of_the_server_are_not_given_to_clients() -> None:
    server = a_server()
    udp = replace(server.udp, dns_v4=(IPv4Address("192.0.2.53"),), dns_v6=(IPv6Address("2001:db8::53"),))
    client = generate(replace(server, udp=udp))[0].settings
    assert (client.udp.dns_v4, client.udp.dns_v6) == ((), ())


def test_a_server_that_is_reached_over_ipv6_carries_ipv6_in_the_same_update() -> None:
    generated, server = generate(replace(a_server(), host=""), DUAL_HOST)
    assert [str(profile.ipv6_subnet) for _, profile in server.slots] == [
        "fd00::/64",
        "fd00:1::/64",
        "fd00:2::/64",
    ]
    assert str(generated.settings.addresses.ipv6) == "fd00:1::3/64"
    slots = (TransportProtocol.TCP, TransportProtocol.UDP, TransportProtocol.WS)
    assert generated.notes == (Ipv6SubnetsAdded(slots),)
    assert "TCP, UDP, WS" in generated.notes[0].sentence


def test_ipv6_subnets_that_are_there_stay_and_none_is_added_over_them() -> None:
    server = replace(a_server(), host="")
    server = replace(server, tcp=with_ipv6(server.tcp, "fd00:1::/48"))
    generated, after = generate(server, DUAL_HOST)
    assert after.tcp.ipv6_subnet == IPv6Network("fd00:1::/48")
    assert after.udp.ipv6_subnet is None
    assert generated.notes == (Ipv6SubnetsAdded((TransportProtocol.WS,)),)


def test_a_transport_whose_mtu_is_too_small_for_ipv6_stays_without() -> None:
    server = replace(a_server(), host="")
    server = replace(server, udp=replace(server.udp, mtu_bytes=1279))
    generated, after = generate(server, DUAL_HOST)
    assert after.udp.ipv6_subnet is None
    assert generated.settings.addresses.ipv6 is None


def test_without_ipv6_in_the_address_no_ipv6_is_switched_on() -> None:
    generated, server = generate(a_server())
    assert all(profile.ipv6_subnet is None for _, profile in server.slots)
    assert generated.notes == ()


def test_a_client_that_keeps_its_private_key_gets_everything_else() -> None:
    public_key = public_key_of(b"k" * 32)
    configuration = MemoryServerConfiguration(a_server())
    client = generator(configuration, PUBLIC_HOST).generate(ClientWish(public_key=public_key)).settings
    assert (client.public_key, client.private_key) == (public_key, b"")
    validate_client(replace(client, private_key=b"k" * 32), public_key_of)
    assert configuration.load().peers[-1] == Peer(public_key, 2, "client-2")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (b"", "not a public key of 32 bytes"),
        (b"k" * 31, "not a public key of 32 bytes"),
        (bytes(32), "not a public key of 32 bytes"),
        (a_server().public_key, "the key of this server"),
        (a_server().peers[0].public_key, "that of peer 1 already"),
    ],
)
def test_a_clients_key_that_cannot_be_its_own_is_refused_and_changes_nothing(
    key: bytes, sentence: str
) -> None:
    configuration = MemoryServerConfiguration(a_server())
    with pytest.raises(ClientKeyError, match=sentence):
        generator(configuration, PUBLIC_HOST).generate(ClientWish(public_key=key))
    assert configuration.replacements == 0


def test_a_client_cannot_get_a_name_that_another_one_has() -> None:
    configuration = MemoryServerConfiguration(a_server())
    with pytest.raises(PeerNameError, match="a name that peer 1 does not have"):
        generator(configuration, PUBLIC_HOST).generate(name="client-1")
    assert configuration.replacements == 0


def test_a_client_without_a_name_of_its_own_is_admitted_beside_one_that_took_it() -> None:
    server = a_server()
    configuration = MemoryServerConfiguration(
        replace(server, peers=(replace(server.peers[0], name="client-2"),))
    )
    generator(configuration, PUBLIC_HOST).generate()
    assert [(peer.client_id, peer.name) for peer in configuration.load().peers] == [
        (1, "client-2"),
        (2, "client-2"),
    ]


@pytest.mark.parametrize("which", ["1", "client-1"])
def test_new_keys_leave_number_and_name(which: str) -> None:
    configuration = MemoryServerConfiguration(a_server())
    generated = generator(configuration, PUBLIC_HOST).regenerate(which, ClientWish(protocol=TCP))
    (peer,) = configuration.load().peers
    assert peer == replace(a_server().peers[0], public_key=generated.settings.public_key)
    assert peer.public_key != a_server().peers[0].public_key
    assert generated.settings.client_id == 1
    assert generated.settings.protocol is TCP
    validate_client(generated.settings, public_key_of)


def test_new_keys_do_not_let_a_disabled_peer_in_and_that_is_told() -> None:
    server = a_server()
    configuration = MemoryServerConfiguration(
        replace(server, peers=(replace(server.peers[0], enabled=False),))
    )
    generated = generator(configuration, PUBLIC_HOST).regenerate("1")
    assert not configuration.load().peers[0].enabled
    assert generated.notes == (PeerDisabled(1),)
    assert "tungo server peers enable 1" in generated.notes[0].sentence


def test_new_keys_can_be_the_clients_own() -> None:
    public_key = public_key_of(b"k" * 32)
    configuration = MemoryServerConfiguration(a_server())
    generator(configuration, PUBLIC_HOST).regenerate("1", ClientWish(public_key=public_key))
    assert configuration.load().peers[0].public_key == public_key


def test_new_keys_for_nobody_change_nothing_and_look_nothing_up() -> None:
    configuration = MemoryServerConfiguration(replace(a_server(), host=""))
    with pytest.raises(PeerUnknownError):
        generator(configuration, ServerAddress()).regenerate("nobody")
    assert configuration.replacements == 0
