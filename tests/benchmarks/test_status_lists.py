"""The benchmark of the status lists measures what a server does. No figure is asserted: machines differ."""

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from auth_server.status.documents import decoded, read_list
from benchmarks.status_lists import SIZE, cost, report, revoked, signed


def test_the_costs_are_those_of_real_lists() -> None:
    """Documents that are read back, each of the size that is told."""
    key = generate_private_key(65537, 2048)
    one = cost(key, 2, 0.0001)
    assert one.largest < 4_000
    assert one.total > 2 * 500
    assert one.memory > 4 * SIZE // 8
    assert min(one.read, one.build, one.sign) > 0
    assert "2097152      0.01%" in report([one], [(0.01, 6, 0.006, 17_000)])


def test_what_is_signed_is_a_list() -> None:
    key = generate_private_key(65537, 2048)
    document = signed(key, 7, "eNrbuRgAAhcBXQ", bytes.fromhex("b9a3"))
    assert decoded(read_list(document.body).entries, most=2) == document.bits
    assert len(revoked(10)) == 40
