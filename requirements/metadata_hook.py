"""Takes the package's run-time dependencies from requirements/run.in, so that they are written once."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

BUILD_ONLY = ("hatchling", "editables")


class DependenciesHook(MetadataHookInterface):
    def update(self, metadata: dict[str, object]) -> None:
        lines = Path(self.root, "requirements", "run.in").read_text().splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith(("#", *BUILD_ONLY))]
