"""The real data sets that may lie beside the repository."""

import pytest

from tests import ROOT

SHARED = ROOT.parent / "shared" / "data"
CASES = ROOT.parent / "shared" / "cases"


def needs_shared(test):
    """Mark a test that reads them; it says why it skips where they are absent."""
    return pytest.mark.shared_data(pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data sets at {SHARED}")(test))


def needs_cases(test):
    """Mark a test that reads the small inputs that failed once."""
    return pytest.mark.shared_data(pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES}")(test))
