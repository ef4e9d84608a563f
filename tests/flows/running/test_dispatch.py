"""What a run is refused for before its first stage."""

import pytest

from flows.running.dispatch import require_models
from flows.running.parameters import RunSettings
from tasks.errors import MigakiError


@pytest.mark.parametrize("field", ["model", "embedder", "embedder_en"])
def test_a_model_that_cannot_be_had_is_told_with_its_setting(home, small_project, field):
    there = {"model": small_project.model, "embedder": small_project.embedder}
    require_models(RunSettings(**there))
    with pytest.raises(MigakiError, match=f"^run.{field}: 'models/ない' is no model folder .* accepted: hub:"):
        require_models(RunSettings(**there | {field: "models/ない"}))
    with pytest.raises(MigakiError, match=f"^run.{field}: 'hub:' is no model reference"):
        require_models(RunSettings(**there | {field: "hub:"}))
