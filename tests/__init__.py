"""The tests: their folders mirror tasks/, flows/ and storage/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the repository
