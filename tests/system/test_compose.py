"""The driver of compose projects itself, and what is there after `up`."""

import pytest

from farseal_testing import leftovers
from farseal_testing.commands import run
from farseal_testing.compose import Project


async def test_everything_is_healthy_and_answers(project: Project, held) -> None:
    told = (await project.farseal_auth("keys", "list")).out
    assert "active" in told
    assert "http_requests_total" in await project.metrics("resource_a")
    held("compose.yaml comes up healthy", f"{len(await project.containers())} containers run")


async def test_a_service_that_was_stopped_comes_back(project: Project) -> None:
    await project.stop("resource_b")
    assert await project.containers("resource_b") == []
    await project.start("resource_b")
    await project.healthy("resource_b")
    assert len(await project.containers("resource_b")) == 1


async def test_a_living_project_is_not_left_over(project: Project) -> None:
    assert project.name in leftovers.living_of(leftovers.owners())
    assert project.name not in await leftovers.clean()
    assert await project.containers()


OURS = ("auth_server", "resource_a", "resource_b", "keys", "auth_gateway", "resource_gateway")
SECRETS = {
    "auth_server": {"auth_database_url", "kek"},
    "auth_db": {"admin_password", "password"},
    "notes_db": {"admin_password", "password"},
    "resource_a": {"notes_database_url"},
    "resource_b": set(),
    "keys": set(),
    "auth_gateway": set(),
    "resource_gateway": set(),
}
USERS = {"auth_db": "postgres", "notes_db": "postgres"}
COMMANDS = {
    "auth_server": "farseal-auth",
    "auth_db": "postgres",
    "notes_db": "postgres",
    "resource_a": "resource_a",
    "resource_b": "resource_b",
    "keys": "nginx",
    "auth_gateway": "nginx",
    "resource_gateway": "nginx",
}
SHOWN = "for process in /proc/[0-9]*; do cat $process/environ $process/cmdline 2>/dev/null | tr '\\0' '\\n'; done; true"
WRITES = """
for place in / /opt /etc /usr /var/lib/farseal/published
do touch $place/planted 2>/dev/null && rm $place/planted && echo $place
done; true
"""


@pytest.mark.parametrize("service", OURS)
async def test_a_container_has_no_more_than_it_needs(project: Project, service: str, held) -> None:
    """Seen from inside, and as the engine has it."""
    one = await project.inspect(await project.container(service))
    host, config = one["HostConfig"], one["Config"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Init"]
    assert host["Memory"] > 0
    assert 0 < host["PidsLimit"] <= 128
    assert host["NanoCpus"] > 0
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    status = (await project.exec(service, "cat", "/proc/self/status")).out
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    written = (await project.exec(service, "sh", "-c", WRITES)).out.split()
    assert written == (["/var/lib/farseal/published"] if service == "auth_server" else [])
    # Temporary files have a place, and it is bounded.
    temporary = (await project.exec(service, "sh", "-c", "touch /tmp/x && rm /tmp/x && df -Pm /tmp | tail -n 1")).out
    assert temporary.split()[0] == "tmpfs"
    assert int(temporary.split()[1]) <= 64
    assert config["Healthcheck"]
    held(f"{service} is confined", f"uid {fields['Uid'].split()[0]}, no capability, nothing of its root can be written")


@pytest.mark.parametrize("service", sorted(SECRETS))
async def test_a_container_has_its_own_secrets_and_shows_none(project: Project, service: str) -> None:
    container = await project.container(service)
    found = (await project.exec(service, "sh", "-c", "ls /run/secrets 2>/dev/null; true")).out.split()
    assert set(found) == SECRETS[service]
    values = {file.name: file.read_text() for file in project.secrets.iterdir()}
    shown = (await run("docker", "inspect", container)).out
    # Of every process, as the user whom it runs as: nobody else may read it, without capabilities not even root.
    seen = (await project.exec(service, "sh", "-c", SHOWN, user=USERS.get(service))).out
    assert "PATH=" in seen, "an environment is seen at all"
    assert COMMANDS[service] in seen, "and the command of the service"
    shown += seen + await project.logs(service, tail=1000)
    assert not [name for name, value in values.items() if value in shown]


async def test_databases_give_their_powers_up(project: Project) -> None:
    """They begin as root, to read their secrets; what serves is postgres, and its role no superuser."""
    for service, role in (("auth_db", "farseal_auth"), ("notes_db", "farseal_notes")):
        status = (await project.exec(service, "sh", "-c", "cat /proc/1/status")).out
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == {"999"}
        assert fields["CapEff"] == "0" * 16
        asked = "SELECT rolname, rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname LIKE 'farseal%'"
        told = await project.exec(service, "psql", "-U", "postgres", "-tAc", asked)
        assert told.out.strip() == f"{role}|f"
