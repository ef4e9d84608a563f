"""Settings of the flow monitor."""

from pydantic import Field

from tasks.monitoring.weeks import Zone
from tasks.settings import StageSettings


class MonitorSettings(StageSettings):
    """What is judged, against what, and what is shown."""

    zone: Zone = Field("UTC", description="IANA time zone, such as Asia/Tokyo, in which weeks begin on Monday at midnight")
    weeks: int = Field(26, ge=2, le=104, description="Weeks, and releases, that are shown (never fewer than the range needs)")
    history: int = Field(8, ge=4, le=52, description="Of how many weeks, or releases, before the one that is judged its range is")
    least_history: int = Field(
        6, ge=4, le=52, description="With fewer weeks, or releases, before it a figure is shown and not judged (never more than history)"
    )
    deviations: float = Field(3.0, gt=0, le=10, description="A range reaches so many scaled MADs from the median")
    least_items: int = Field(
        30,
        ge=10,
        le=100_000,
        description="A figure of fewer answers (or questions of an evaluation) is shown, not judged, and makes no range",
    )
    drift_level: float = Field(
        0.01, gt=0, le=0.2, description="Questions have drifted where a permutation test of the week gives a p-value below this"
    )
    grouped_weeks: int = Field(4, ge=1, le=26, description="Weeks whose questions without documents are grouped")
    alike: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Similarity (0: unrelated texts, 1: the same) above which questions without documents are of one group, on average",
    )
