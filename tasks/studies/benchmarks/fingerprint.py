"""What the files of benchmarks hold that settings name, and no path of them."""

from collections.abc import Sequence
from pathlib import Path

from storage.files import sha256_of
from tasks.errors import MigakiError
from tasks.studies.benchmarks.settings import BenchmarkSettings
from tasks.studies.suites.reading import files_of
from tasks.studies.suites.rows import with_labels


def benchmark_files(settings: BenchmarkSettings) -> list[list[str]]:
    """Names and checksums, benchmark by benchmark.

    Raises:
        MigakiError: a benchmark or its file is missing.
    """
    return [
        *named_files(settings.names, settings.benchmarks_dir),
        *([_entry(file) for file in with_labels(Path(path))] for path in settings.suites),
    ]


def named_files(names: Sequence[str], folder: str) -> list[list[str]]:
    """Of each benchmark, in the order given.

    Raises:
        MigakiError: a benchmark or its file is missing.
    """
    return [[_entry(path) for path in files_of(name, Path(folder))] for name in names]


def _entry(path: Path) -> str:
    if not path.is_file():
        raise MigakiError(f"{path} is no file: --suite names one of a benchmark in a published form")
    return f"{path.name} {sha256_of(path)}"
