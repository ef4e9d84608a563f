"""What all settings models share: flat, strict, and helpful about misspelt names."""

import difflib
from datetime import date
from typing import Annotated, Any, ClassVar, Self, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from tasks.errors import MigakiError


def a_day(value: Any) -> str:
    """A day as YYYY-MM-DD, of a text or of what YAML makes of one."""
    try:
        return (value if type(value) is date else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError) as error:
        raise ValueError("a date as YYYY-MM-DD is accepted") from error


Day = Annotated[str, BeforeValidator(a_day)]


def several(value: Any) -> Any:
    """A text with commas as the list that it stands for."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(several)]


class StageSettings(BaseModel):
    """Settings of one stage: no nesting, unknown names refused. Defaults are the profile `standard`; `QUICK` overlays them for `quick`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    QUICK: ClassVar[dict[str, Any]] = {}
    PATHS: ClassVar[set[str]] = set()  # fields that name files: their contents, not their places, enter the key
    OPERATIONAL: ClassVar[set[str]] = set()  # fields that say where and how long, not what is answered: no part of a release

    @field_validator("*")
    @classmethod
    def _names_files(cls, value: Any, info: ValidationInfo) -> Any:
        """Of a list of files, "" is none: as a path it would be the folder that is looked from, with all that lies there."""
        if info.field_name in cls.PATHS and isinstance(value, list) and not all(str(one).strip() for one in value):
            raise ValueError(f"{value} has a name that is empty; name files and folders, or nothing at all")
        return value

    @classmethod
    def build(cls, stage: str, values: dict[str, Any], profile: str = "standard") -> Self:
        """Settings from the values a user gave, over the profile, over the defaults.

        Raises:
            MigakiError: an unknown name (with the nearest valid one) or a value of the wrong type or range.
        """
        overlay = cls.QUICK if profile == "quick" else {}
        try:
            return cls.model_validate(overlay | values)
        except ValidationError as error:
            raise MigakiError("\n".join(cls._explain(stage, problem) for problem in error.errors())) from error

    def with_profile(self, profile: str) -> Self:
        """These settings under a profile: fields that still have their standard value take the profile's.

        A form sends every field, changed or not, so a standard value cannot be told from an untouched one.
        """
        fields = type(self).model_fields
        overlay = {
            name: value for name, value in self.QUICK.items() if profile == "quick" and getattr(self, name) == fields[name].get_default()
        }
        return self.model_copy(update=overlay)

    @classmethod
    def _explain(cls, stage: str, problem: ErrorDetails) -> str:
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, cls.model_fields, n=1, cutoff=0.5)
            known = f"did you mean {stage}.{near[0]}?" if near else f"known are {', '.join(cls.model_fields)}"
            return f"{stage}.{name} is no setting; {known}"
        written = (
            f", which is written [{problem['input']}]"
            if problem["type"] == "list_type" and isinstance(problem["input"], str | int | float)
            else ""
        )
        inside = "".join(f".{part}" for part in problem["loc"][1:]) if get_origin(cls.model_fields[name].annotation) is dict else ""
        return f"{stage}.{name}{inside} = {problem['input']!r}: {problem['msg']}{written} ({cls.model_fields[name].description})"
