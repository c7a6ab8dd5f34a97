"""No way leads from a resource server to the auth server: not by name, by address, or over a gateway; in no packet."""

import json
from ipaddress import ip_network

import aiohttp
import pytest

from demo.containers import Containers
from demo.screen import Screen
from demo.tour.program import tour
from farseal_testing.compose import Project
from farseal_testing.packets import PacketCount, addresses, can_count, remove_rules
from tests.system.traffic import request

NETWORKS = {
    "auth_db": {"issuing"},
    "auth_server": {"issuing"},
    "auth_gateway": {"issuing", "edge"},
    "notes_db": {"notes"},
    "resource_a": {"notes", "services"},
    "resource_b": {"services", "static"},
    "keys": {"static"},
    "resource_gateway": {"services", "edge"},
}
RESOURCES = ("resource_a", "resource_b")
ISSUING = ("auth_server", "auth_db", "auth_gateway")
PORTS = (9000, 9100, 5432, 8080)
PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
hosts, ports = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def look(pair):
    try:
        socket.create_connection(pair, timeout=1.5).close()
        return "connected"
    except OSError as error:
        return type(error).__name__
pairs = [(host, port) for host in hosts for port in ports]
with ThreadPoolExecutor(16) as pool:
    print(json.dumps({f"{host}:{port}": told for (host, port), told in zip(pairs, pool.map(look, pairs))}))
"""
REQUESTS = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def ask(asked):
    host, port, text = asked
    try:
        with socket.create_connection((host, port), timeout=5.0) as peer:
            peer.sendall(text.encode())
            data = b""
            while chunk := peer.recv(65536):
                data += chunk
        return data.decode(errors="replace")
    except OSError as error:
        return type(error).__name__
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(ask, json.loads(sys.argv[1])))))
"""


async def probe(project: Project, service: str, hosts, ports) -> dict[str, str]:
    """What becomes of connections from inside a container."""
    told = await project.python(service, PROBE, json.dumps(list(hosts)), json.dumps(list(ports)), seconds=120)
    found: dict[str, str] = json.loads(told.out)
    return found


async def test_the_networks_are_those_that_are_stated(project: Project, held) -> None:
    """As the engine has it, not as the file says."""
    found: dict[str, set[str]] = {}
    for container in await project.containers():
        one = await project.inspect(container)
        service = one["Config"]["Labels"]["com.docker.compose.service"]
        found[service] = {name.removeprefix(f"{project.name}_") for name in one["NetworkSettings"]["Networks"]}
    assert found == NETWORKS
    for network in set().union(*NETWORKS.values()):
        assert (await project.network(network))["Internal"] is (network != "edge"), network
    for resource in RESOURCES:
        for other in ISSUING:
            assert not found[resource] & found[other], (resource, other)
    held("no resource server shares a network with what issues", f"{len(found)} services, 5 networks, 4 internal")


@pytest.mark.parametrize(("service", "neighbour"), [("resource_a", ("notes_db", 5432)), ("resource_b", ("keys", 8080))])
async def test_neither_a_name_nor_an_address_leads_to_what_issues(project: Project, service, neighbour, held) -> None:
    names = {*ISSUING, "keys" if service == "resource_a" else "notes_db"}
    by_name = await probe(project, service, names, [9000])
    assert set(by_name.values()) == {"gaierror"}, by_name
    targets = await addresses(project, *ISSUING)
    by_address = await probe(project, service, targets, PORTS)
    assert set(by_address.values()) <= {"TimeoutError", "OSError"}, by_address  # nobody answers: no route, or no way
    host, port = neighbour
    assert await probe(project, service, [host], [port]) == {f"{host}:{port}": "connected"}, "the probe can succeed"
    assert (await probe(project, "auth_server", ["auth_db"], [5432]))["auth_db:5432"] == "connected"
    held(f"{service} reaches nothing of what issues", f"{len(by_name)} names, {len(by_address)} addresses and ports")


async def test_the_published_ports_are_not_found_at_the_hosts_own_addresses(project: Project) -> None:
    """A container can reach the host by the bridge's address; published ports are bound to 127.0.0.1 alone."""
    for container in await project.containers():
        bindings = (await project.inspect(container))["NetworkSettings"]["Ports"] or {}
        assert {one["HostIp"] for bound in bindings.values() for one in bound or ()} <= {"127.0.0.1"}
    for service in RESOURCES:
        hosts = [address for network in NETWORKS[service] for address in await host_addresses(project, network)]
        assert len(hosts) == len(NETWORKS[service]), "the host has an address on each of its networks"
        answers = await probe(project, service, hosts, project.ports.all)
        assert set(answers.values()) <= {"TimeoutError", "ConnectionRefusedError", "OSError"}, answers


async def host_addresses(project: Project, network: str) -> list[str]:
    """The addresses that the engine's host has on a network, as the engine has it: the first of each subnet."""
    return [
        config.get("Gateway") or str(ip_network(config["Subnet"])[1])
        for config in (await project.network(network))["IPAM"]["Config"]
    ]


@pytest.mark.parametrize("service", RESOURCES)
async def test_the_gateway_that_it_can_reach_knows_no_way_to_the_auth_server(project: Project, service, held) -> None:
    alice = aiohttp.encode_basic_auth("alice", project.password("alice"))
    head = f"Authorization: {alice}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    asked = [
        ["resource_gateway", port, f"{line}\r\nHost: {host}\r\n{head}"]
        for port in (9001, 9002)
        for host in ("auth_server:9000", "auth_gateway:9000", f"127.0.0.1:{project.ports.auth}")
        for line in (
            "GET /.well-known/jwks.json HTTP/1.1",
            "POST /api/tokens HTTP/1.1",
            "GET http://auth_server:9000/.well-known/jwks.json HTTP/1.1",
            "GET //auth_server:9000/.well-known/jwks.json HTTP/1.1",
            "CONNECT auth_server:9000 HTTP/1.1",
        )
    ]
    answers = json.loads((await project.python(service, REQUESTS, json.dumps(asked), seconds=120)).out)
    assert all(answer.startswith("HTTP/1.1 ") for answer in answers), "the gateway itself is reached"
    assert not [answer for answer in answers if '"keys"' in answer or "access_token" in answer]
    # The same questions have an answer where they may be asked.
    there = project.url("auth_server")
    assert (await request("GET", f"{there}/.well-known/jwks.json")).body["keys"]
    assert (await request("POST", f"{there}/api/tokens", headers={"Authorization": alice})).status == 200
    held(f"no way from {service} over a gateway", f"{len(asked)} requests, none answered by the auth server")


async def test_no_packet_goes_there_over_a_whole_tour(project: Project, held) -> None:
    if not await can_count():
        pytest.skip("packets cannot be counted here: that takes root and iptables on the engine's host")
    async with PacketCount(project, ("notes", "services", "static"), ("issuing", "edge")) as counter:
        assert await tour(Containers(project), Screen()), "a claim of the tour was broken"
        seen = await counter.packets()
        assert seen == 0
        (target,) = [ip for ip, where in (await addresses(project, "auth_server")).items() if where.endswith("issuing")]
        await probe(project, "resource_a", [target], [9000])
        control = await counter.packets()
        assert control > 0, "the counter can count"
    held("no packet from a resource server to what issues, over a whole tour", f"{seen}; {control} when one tried")


async def test_counters_of_a_run_that_was_killed_are_removed(project: Project) -> None:
    if not await can_count():
        pytest.skip("packets cannot be counted here: that takes root and iptables on the engine's host")
    left = PacketCount(project, ("notes",), ("issuing",))
    await left.__aenter__()  # and no end of it
    assert await remove_rules(project.name) == 1
    assert await remove_rules(project.name) == 0
