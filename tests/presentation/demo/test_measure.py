import json

import pytest

from presentation.demo.errors import DemoError
from presentation.demo.measure import (
    Plan,
    Traffic,
    parse_echo_times_ms,
    parse_plan,
    parse_traffic,
    parse_transfer,
)

PING = """PATTERN: 0x74756e
PING 10.0.1.1 (10.0.1.1) 56(84) bytes of data.
64 bytes from 10.0.1.1: icmp_seq=1 ttl=64 time=0.042 ms
64 bytes from 10.0.1.1: icmp_seq=3 ttl=64 time=12 ms

--- 10.0.1.1 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 2027ms
rtt min/avg/max/mdev = 0.042/6.021/12.000/5.979 ms
"""


def test_only_answers_count_as_times() -> None:
    assert parse_echo_times_ms(PING) == [0.042, 12.0]


@pytest.mark.parametrize(
    ("protocol", "key"),
    [("UDP", "UDPSettings"), ("TCP", "TCPSettings"), ("WS", "WSSettings"), ("WSS", "WSSettings")],
)
def test_the_plan_is_the_first_address_of_the_subnet_and_the_port(protocol: str, key: str) -> None:
    configuration = {"Protocol": protocol, key: {"IPv4Subnet": "10.9.8.0/24", "Port": 4711}}
    assert parse_plan(json.dumps(configuration)) == Plan("10.9.8.1", 4711)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "names no protocol"),
        ('{"Protocol": "UDP", "UDPSettings": 7}', "no subnet and port for UDP"),
        (
            '{"Protocol": "TCP", "TCPSettings": {"IPv4Subnet": "10.0.0.0/24", "Port": "9"}}',
            "subnet and port for TCP",
        ),
        ('{"Protocol": "UDP", "UDPSettings": {"IPv4Subnet": "10.0.0.7/24", "Port": 9}}', "bad subnet"),
    ],
)
def test_a_configuration_that_is_none_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(DemoError, match=complaint):
        parse_plan(text)


def test_a_transfer_has_a_rate() -> None:
    result = parse_transfer('{"bytes": 1000000000, "seconds": 2.0, "sha256": "ab"}\n')
    assert result.gigabits_per_second == 4.0


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("", "no output"),
        ("OSError: no route to host\n", "no route to host"),
        ("{", "not JSON"),
        ('{"bytes": 1}', "nonsense"),
    ],
)
def test_a_transfer_that_failed_says_why(output: str, complaint: str) -> None:
    with pytest.raises(DemoError, match=complaint):
        parse_transfer(output)


def test_traffic_is_both_directions_together() -> None:
    counters = {"rx": {"bytes": 10, "packets": 1}, "tx": {"bytes": 500, "packets": 4}}
    assert parse_traffic(json.dumps([{"stats64": counters}])) == Traffic(packets=5, size_bytes=510)
