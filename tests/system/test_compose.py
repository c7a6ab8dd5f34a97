"""The driver of compose projects itself, and what is there after `up`."""

from farseal_testing import leftovers
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
    assert project.name not in await leftovers.clean()
    assert await project.containers()
