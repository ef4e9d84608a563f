"""Settings of the bundled tools: which providers answer, and how long they may take. Keys stand in the environment, never in settings."""

from typing import ClassVar

from pydantic import Field, field_validator

from tasks.chatbot.tools import clock
from tasks.errors import MigakiError
from tasks.settings import StageSettings


class ToolSettings(StageSettings):
    """What the chatbot's tools ask. Without addresses, the offline providers answer."""

    PATHS: ClassVar[set[str]] = {"weather_table"}
    OPERATIONAL: ClassVar[set[str]] = {"http_seconds", "tool_seconds", "max_hanging"}

    timezone: str = Field("Asia/Tokyo", description="Where the people who ask live (IANA name): what time it is, which day tomorrow is")
    weather_table: str = Field(
        "",
        description="CSV of mean temperatures (city, ja, 1 to 12) for the weather without a network; empty: the bundled table, examples/weather.csv",
    )
    weather_url: str = Field(
        "", description="Forecast service as Open-Meteo's, with {latitude}, {longitude}, {date}; empty: the table. Key: MIGAKI_WEATHER_KEY"
    )
    places_url: str = Field("", description="Where places are found for weather_url, with {city} and {lang}")
    search_url: str = Field("", description="Search service as SearXNG's, with {query}; empty: the index. Key: MIGAKI_SEARCH_KEY")
    http_seconds: float = Field(8.0, gt=0, description="Longest wait for a service")
    tool_seconds: float = Field(20.0, gt=0, description="A call that takes longer is given up")
    result_characters: int = Field(2000, ge=100, description="A tool's result is cut after so many")
    max_hanging: int = Field(8, ge=1, description="Given-up calls that may still be running; with more, further calls are refused")

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, timezone: str) -> str:
        try:
            clock.read(timezone)
        except MigakiError as error:
            raise ValueError(str(error)) from error
        return timezone
