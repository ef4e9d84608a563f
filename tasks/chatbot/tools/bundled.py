"""The tools that come with Migaki, with the providers that the settings name."""

import os
from dataclasses import replace
from pathlib import Path

from tasks.chatbot.tools.arithmetic import arithmetic_asked
from tasks.chatbot.tools.calculate import calculate
from tasks.chatbot.tools.clock import Clock, clock_tool
from tasks.chatbot.tools.documents import Documents, Index, documents_asked, documents_tool
from tasks.chatbot.tools.settings import ToolSettings
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.chatbot.tools.weather import MeanTemperatures, Weather, WeatherService, weather_asked, weather_tool
from tasks.chatbot.tools.web_search import SearchService, search_asked, search_tool
from tasks.errors import MigakiError

ROOT = Path(__file__).resolve().parents[3]
WEATHER_TABLE = "examples/weather.csv"


def bundled_tools(settings: ToolSettings, index: Index | None = None) -> ToolBox:
    """All bundled tools; those that search need a service or an index, and are left out without.

    Raises:
        MigakiError: the weather table cannot be read; or one of the two addresses that the weather needs is missing.
    """
    clock = Clock(settings.timezone)
    exact = (
        (calculate, arithmetic_asked),
        (clock_tool(clock), clock.asked),
        (weather_tool(_weather(settings), clock), lambda question: weather_asked(question, clock)),
    )
    tools = [Tool.of(function, rule, exact=True) for function, rule in exact]
    if settings.search_url:
        service = SearchService(settings.search_url, os.environ.get("MIGAKI_SEARCH_KEY", ""), settings.http_seconds)
        tools.append(Tool.of(search_tool(service), search_asked))
    elif index is not None:
        tools.append(_instead_of_web(index))
    if index is not None:
        tools.append(_in_documents(index))
    return ToolBox(tools, settings.tool_seconds, settings.result_characters, settings.max_hanging)


def _weather(settings: ToolSettings) -> Weather:
    if bool(settings.weather_url) != bool(settings.places_url):
        raise MigakiError("weather_url and places_url go together: set both, or neither for the offline table")
    if settings.weather_url:
        return WeatherService(settings.weather_url, settings.places_url, os.environ.get("MIGAKI_WEATHER_KEY", ""), settings.http_seconds)
    return MeanTemperatures(ROOT / (settings.weather_table or WEATHER_TABLE))


def _instead_of_web(index: Index) -> Tool:
    return replace(Tool.of(search_tool(Documents(index)), search_asked), over=_instead_of_web)


def _in_documents(index: Index) -> Tool:
    return replace(Tool.of(documents_tool(index), documents_asked), over=_in_documents)
