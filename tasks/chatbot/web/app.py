"""The application: page, APIs, health and metrics behind one gate."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from tasks.chatbot.web.about import About
from tasks.chatbot.web.api_page import page_routes
from tasks.chatbot.web.api_v1 import openai_routes
from tasks.chatbot.web.errors import ApiError, in_words
from tasks.chatbot.web.gate import Gate
from tasks.chatbot.web.limits import Slots
from tasks.chatbot.web.metrics import Metrics
from tasks.chatbot.web.reports import ReadReport, report_routes
from tasks.chatbot.web.service import Chats, Engine, Service
from tasks.chatbot.web.settings import ServeSettings
from tasks.chatbot.web.tokens import NO_TOKENS, Tokens

STATIC = Path(__file__).parent / "static"


def create_app(
    engine: Engine,
    chats: Chats,
    about: About,
    settings: ServeSettings,
    tokens: Tokens = NO_TOKENS,
    read_report: ReadReport = lambda run: None,
) -> FastAPI:
    """The server's application. Without tokens it must listen on loopback alone, which `auth.check_exposure` sees to."""
    each = (settings.max_concurrent_each, settings.max_waiting_each) if tokens else ()
    slots = Slots(settings.max_concurrent, settings.max_waiting, settings.waiting_seconds, *each)
    service = Service(engine, chats, about, settings, slots, Metrics(slots, lambda: service.engine.backend.stats), tokens)
    app = FastAPI(title="Migaki", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.include_router(page_routes(service))
    app.include_router(openai_routes(service))
    app.include_router(report_routes(read_report))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _add_own_routes(app, service)
    _add_error_handlers(app)
    app.add_middleware(Gate, settings=settings, tokens=tokens, metrics=service.metrics)
    return app


def _add_own_routes(app: FastAPI, service: Service) -> None:
    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        serving = {"release": service.about.release, "unreleased": service.about.unreleased}
        return {"status": "ok", "active": service.slots.active, "queue": service.slots.waiting} | serving

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def known(request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        message, param = in_words(error.errors(), error.body)
        status = 400 if request.url.path.startswith("/v1/") else 422  # OpenAI's clients know 400
        return ApiError(status, "invalid_request", message, param).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return ApiError(error.status_code, "not_found" if error.status_code == 404 else "http_error", str(error.detail)).response()
