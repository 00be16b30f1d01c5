"""Watches the status page of somebody that you depend on."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from quarterdeck_sdk import Capability, Problem, http
from quarterdeck_sdk.collector import Collection, Collector, Family, Health
from quarterdeck_sdk.host import log


@dataclass
class Config:
    """Which page, and what of it."""

    url: Annotated[str, "Address of the page, `https://www.githubstatus.com`.", {"format": "uri"}]
    components: Annotated[list[str], "Names of components to watch; empty: all of them."] = field(default_factory=list)
    timeout_ms: Annotated[int, "For the whole exchange.", {"minimum": 1, "maximum": 60_000}] = 5000


# As the page calls it; what it does not know yet is a warning.
RATIOS = {
    "operational": 1.0,
    "under_maintenance": 1.0,
    "degraded_performance": 0.5,
    "partial_outage": 0.5,
    "major_outage": 0.0,
}


class StatusPage(Collector[Config]):
    name = "status-page"
    version = "0.1.0"
    summary = "What the status page of somebody else says"
    capabilities = [Capability.required("http", "reads the page")]

    def validate(self, config: Config) -> list[Problem]:
        try:
            http.split_url(config.url)
        except http.Invalid as error:
            return [Problem("/url", error.message)]
        return []

    def collect(self, config: Config, now_ms: int) -> Collection:
        try:
            page = read(config)
        except (http.Denied, http.Invalid):
            raise
        except (http.Error, ValueError) as error:
            return Collection(Health.failed(str(error)), [up(0.0)])
        ratios = {
            component["name"]: ratio(component["status"]) for component in page["components"] if not component.get("group")
        }
        watched = {name: ratios[name] for name in config.components or ratios if name in ratios}
        family = Family.gauge("status_page_component_ratio", "How much of a component works, by its page")
        for name, value in watched.items():
            family.sample({"component": name}, value)
        incidents = Family.gauge("status_page_open_incidents", "Incidents that are not resolved")
        families = [up(1.0), family, incidents.value(float(len(page["incidents"])))]
        return Collection(health(config, watched), families)


def read(config: Config) -> dict[str, Any]:
    """The page's summary; raises `ValueError` if it is none."""
    response = http.get(f"{config.url.rstrip('/')}/api/v2/summary.json", timeout_ms=config.timeout_ms)
    if not response.is_success:
        raise ValueError(f"the page answered {response.status}")
    page = response.json()
    if not isinstance(page, dict) or not all(isinstance(page.get(key), list) for key in ("components", "incidents")):
        raise ValueError("the page has no `components` and `incidents`; hint: is it a status page of that kind?")
    for component in page["components"]:
        if not isinstance(component, dict) or not all(isinstance(component.get(key), str) for key in ("name", "status")):
            raise ValueError("a component of the page has no `name` and `status`")
    return page


def ratio(status: str) -> float:
    """How much of a component works."""
    if status not in RATIOS:
        log.warn(f"the page has a status `{status}` that is not known here: taken for degraded")
    return RATIOS.get(status, 0.5)


def up(value: float) -> Family:
    """Whether the page could be read."""
    return Family.gauge("status_page_up", "Whether the page could be read").value(value)


def health(config: Config, watched: dict[str, float]) -> Health:
    """In one line, the worst first."""
    if missing := [name for name in config.components if name not in watched]:
        return Health.degraded(f"the page has no component {', '.join(missing)}")
    if out := [name for name, value in watched.items() if value == 0.0]:
        return Health.failed(f"out: {', '.join(out)}")
    if poor := [name for name, value in watched.items() if value < 1.0]:
        return Health.degraded(f"degraded: {', '.join(poor)}")
    return Health.ok(f"{len(watched)} components work")
