"""The licence list: every installed distribution with the licence that it declares itself, as a table in Markdown on standard output."""

import importlib.metadata
import re

OSI = "License :: OSI Approved :: "


def licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """The SPDX expression; else what its classifiers say, else the first line of its free text."""
    said = metadata.get("License-Expression")
    if said:
        return str(said)
    classified = [
        text.removeprefix(OSI).removeprefix("License :: ") for text in metadata.get_all("Classifier", []) if text.startswith("License ::")
    ]
    free = str(metadata.get("License") or "").strip().split("\n")[0][:60]
    return ", ".join(classified) or free or "says none: read the files in its folder"


def main() -> None:
    rows = {
        re.sub(r"[-_.]+", "-", found.name).lower(): (found.version, licence(found.metadata)) for found in importlib.metadata.distributions()
    }
    print("| distribution | version | licence |\n| --- | --- | --- |")
    for name, (version, said) in sorted(rows.items()):
        print(f"| {name} | {version} | {said.replace('|', '/')} |")


if __name__ == "__main__":
    main()
