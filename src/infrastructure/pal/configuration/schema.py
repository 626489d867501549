"""The JSON documents as they stand in the files (platform specification 2, 3 and 4.1).

Only types and notations are checked here; what the values mean to one another is for ``domain.settings``.
Names of keys match in any case. ``null`` is the same as leaving a key out, except for ``Protocol`` and
``Encryption``, where it is an error. What a file leaves out is empty here: ``reading`` fills in defaults.

BaseModel's own constructor takes Any, which is all that the ignores below are for.
"""

from collections.abc import Iterator, Mapping, Set
from functools import cache
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator

from domain.settings.client import DEFAULT_FALLBACK_RETRY_S, DEFAULT_REKEY_INTERVAL_S
from domain.settings.offload import OffloadMode
from infrastructure.pal.configuration.notation import (
    ENCRYPTION,
    CertificateHash,
    EncryptionName,
    FilePath,
    Ipv4Literal,
    Ipv4Member,
    Ipv4Subnet,
    Ipv6Literal,
    Ipv6Member,
    Ipv6Subnet,
    Key,
    Network,
    OffloadName,
    ProtocolMember,
    ProtocolName,
    WholeNumber,
)

_NOT_NULLABLE: Final = frozenset({"Protocol", "Encryption"})


class JsonObject(BaseModel):  # type: ignore[explicit-any]  # of BaseModel
    """An object of a configuration file; keys that it does not know are kept in ``model_extra``, in order."""

    # Errors must not quote their input: it may be a private key.
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _fold_keys(cls, document_untrusted: object) -> object:
        """Keys get their canonical case; of two that differ in case only, the last wins."""
        if not isinstance(document_untrusted, dict):
            return document_untrusted
        canonical = _canonical_names(cls)
        if document_untrusted.keys() <= _own_names(cls) and None not in document_untrusted.values():
            return document_untrusted  # of ten thousand peers nearly all are like this
        folded: dict[str, object] = {}
        for key, value in document_untrusted.items():
            known = canonical.get(key.casefold())
            if value is not None or known is None or known in _NOT_NULLABLE:
                folded[known or key] = value
        return folded

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        """The fields that are known: a private key under a misspelt name must not be shown either."""
        return ((name, getattr(self, name)) for name, field in type(self).model_fields.items() if field.repr)


@cache
def _own_names(schema: type[JsonObject]) -> Set[str]:
    return frozenset(_canonical_names(schema).values())


@cache
def _canonical_names(schema: type[JsonObject]) -> Mapping[str, str]:
    """From the folded names of keys to their own."""
    return {field.alias.casefold(): field.alias for field in schema.model_fields.values() if field.alias}


class AddressDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """``Server``: where a client connects to, or a server binds."""

    domain: StrictStr = Field(default="", alias="Domain")
    ipv4: Ipv4Member = Field(default=None, alias="IPv4")
    ipv6: Ipv6Member = Field(default=None, alias="IPv6")


class TlsDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """``TLS`` in ``WSSettings``. Ours, as are all the keys in it; paths are as they stand in the file."""

    ca_file: FilePath = Field(default="", alias="CAFile")
    pinned_certificate: CertificateHash = Field(default=None, alias="PinnedCertificate")
    server_name: StrictStr = Field(default="", alias="ServerName")
    certificate_file: FilePath = Field(default="", alias="CertificateFile")
    key_file: FilePath = Field(default="", alias="KeyFile")


class ProfileDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """``TCPSettings``, ``UDPSettings``, ``WSSettings`` of both files."""

    tun_name: StrictStr = Field(default="", alias="TunName")
    ipv4_subnet: Ipv4Subnet = Field(default=None, alias="IPv4Subnet")
    ipv6_subnet: Ipv6Subnet = Field(default=None, alias="IPv6Subnet")
    server: AddressDocument = Field(default=AddressDocument(), alias="Server")
    port: WholeNumber = Field(default=0, alias="Port")
    dns_v4: list[Ipv4Literal] = Field(default=[], alias="DNSv4")
    dns_v6: list[Ipv6Literal] = Field(default=[], alias="DNSv6")
    mtu: WholeNumber = Field(default=0, alias="MTU")
    protocol: ProtocolMember = Field(default=None, alias="Protocol")
    encryption: EncryptionName = Field(default=ENCRYPTION, alias="Encryption")
    dial_timeout_ms: WholeNumber = Field(default=0, alias="DialTimeoutMs")
    # Ours, like those at the end of ClientDocument.
    tls: TlsDocument = Field(default=TlsDocument(), alias="TLS")
    trusted_proxies: list[Network] = Field(default=[], alias="TrustedProxies")


class OffloadDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """``Offload`` of both files. Ours, as are all the keys in it."""

    tun_segmentation: OffloadName = Field(default=OffloadMode.AUTO, alias="TunSegmentation")
    udp_segmentation: OffloadName = Field(default=OffloadMode.AUTO, alias="UdpSegmentation")
    udp_coalescing: OffloadName = Field(default=OffloadMode.AUTO, alias="UdpCoalescing")


class PeerDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """One of ``AllowedPeers``."""

    name: StrictStr = Field(default="", alias="Name")
    public_key: Key = Field(default=b"", alias="PublicKey")
    enabled: StrictBool = Field(default=False, alias="Enabled")
    client_id: WholeNumber = Field(default=0, alias="ClientID")


class ServerDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """``server_configuration.json``. ``fallback_server_address`` is the March name of ``host``."""

    tcp: ProfileDocument = Field(default=ProfileDocument(), alias="TCPSettings")
    udp: ProfileDocument = Field(default=ProfileDocument(), alias="UDPSettings")
    ws: ProfileDocument = Field(default=ProfileDocument(), alias="WSSettings")
    host: StrictStr = Field(default="", alias="Host")
    fallback_server_address: StrictStr = Field(default="", alias="FallbackServerAddress")
    public_key: Key = Field(default=b"", alias="X25519PublicKey")
    private_key: Key = Field(default=b"", alias="X25519PrivateKey", repr=False)
    client_counter: WholeNumber = Field(default=0, alias="ClientCounter")
    enable_tcp: StrictBool = Field(default=False, alias="EnableTCP")
    enable_udp: StrictBool = Field(default=False, alias="EnableUDP")
    enable_ws: StrictBool = Field(default=False, alias="EnableWS")
    peers: list[PeerDocument] = Field(default=[], alias="AllowedPeers")
    # Ours, like those at the end of ClientDocument.
    client_isolation: StrictBool = Field(default=False, alias="ClientIsolation")
    nat: StrictBool = Field(default=True, alias="NAT")
    offload: OffloadDocument = Field(default=OffloadDocument(), alias="Offload")
    aggregation: StrictBool = Field(default=True, alias="Aggregation")


class ClientDocument(JsonObject):  # type: ignore[explicit-any]  # of BaseModel
    """``client_configuration.json``."""

    client_id: WholeNumber = Field(default=0, alias="ClientID")
    tcp: ProfileDocument = Field(default=ProfileDocument(), alias="TCPSettings")
    udp: ProfileDocument = Field(default=ProfileDocument(), alias="UDPSettings")
    ws: ProfileDocument = Field(default=ProfileDocument(), alias="WSSettings")
    server_public_key: Key = Field(default=b"", alias="X25519PublicKey")
    protocol: ProtocolMember = Field(default=None, alias="Protocol")
    public_key: Key = Field(default=b"", alias="ClientPublicKey")
    private_key: Key = Field(default=b"", alias="ClientPrivateKey", repr=False)
    # Ours: the Go program does not know them and leaves them alone.
    rekey_interval_s: WholeNumber = Field(default=DEFAULT_REKEY_INTERVAL_S, alias="RekeyIntervalSeconds")
    fallbacks: list[ProtocolName] = Field(default=[], alias="FallbackProtocols")
    fallback_retry_s: WholeNumber = Field(default=DEFAULT_FALLBACK_RETRY_S, alias="FallbackRetrySeconds")
    include: list[Network] = Field(default=[], alias="Include")
    exclude: list[Network] = Field(default=[], alias="Exclude")
    exclude_lan: StrictBool = Field(default=True, alias="ExcludeLAN")
    allow_ipv6_leak: StrictBool = Field(default=False, alias="AllowIPv6Leak")
    kill_switch: StrictBool = Field(default=False, alias="KillSwitch")
    allow_lan: StrictBool = Field(default=True, alias="AllowLAN")
    offload: OffloadDocument = Field(default=OffloadDocument(), alias="Offload")
    aggregation: StrictBool = Field(default=True, alias="Aggregation")
