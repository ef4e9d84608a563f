"""What a Prefect server takes as the parameters of a run, over its API and in its page's forms: what the flow has, and nothing else."""

from typing import Any

import yaml
from prefect import get_client
from prefect.exceptions import ObjectNotFound

from flows.catalogue.stages import STAGES
from flows.running.local import ROOT

STARTED_BY_PARENTS = {spec.command for spec in STAGES.values()}


def closed(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a deployment's parameters with unknown ones refused. As Prefect makes it (3.8.8) it lets them pass, and the run's process dies of them."""
    hidden = ["parent_run"] if name in STARTED_BY_PARENTS else []
    return schema | {"propertyNames": {"enum": [*schema["properties"], *hidden]}}


def close_forms() -> list[str]:
    """Have the deployments of `prefect.yaml` on this process's Prefect server refuse unknown parameters, and say of which that is new.

    Raises:
        httpx.HTTPError: the server does not answer, or refuses.
    """
    changed, deployments = [], yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    with get_client(sync_client=True) as client:
        for name in (one["name"] for one in deployments):
            try:
                deployment = client.read_deployment_by_name(f"{name}/{name}")
            except ObjectNotFound:  # nobody deployed it there
                continue
            schema = deployment.parameter_openapi_schema or {"properties": {}}
            if schema != closed(name, schema):
                wanted = {"parameter_openapi_schema": closed(name, schema)}
                client.request("PATCH", "/deployments/{id}", path_params={"id": deployment.id}, json=wanted)
                changed.append(f"the deployment {name}: unknown parameters are refused")
    return changed
