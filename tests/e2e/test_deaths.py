"""A retrain on the platform outlives the deaths of a stage's process, of the worker that runs one, and of the run that wanted it."""

import pytest

from tests.helpers.deaths import computed_twice, platform_in
from tests.helpers.small_project import SmallProject

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_retrain_outlives_three_deaths(tmp_path):
    project = SmallProject.write(tmp_path)
    with platform_in(tmp_path) as platform:
        run = platform.retrain(project, seed=0)
        for kind in ("stage", "gpu worker", "parent"):
            assert platform.kill(kind, run), (kind, platform.log.read_text(errors="replace")[-3000:])
        ended = platform.finished(run, 600)
        said = platform.log.read_text(errors="replace")
        assert ended["state"]["type"] == "COMPLETED" and ended["id"] != run["id"], said[-3000:]
        assert platform.without_process() == [] and platform.orphans() == []
        assert "the worker of the pool gpu ended by itself (exit code -9): it is started again" in said
        assert computed_twice(platform.home) == []
