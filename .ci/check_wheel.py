"""Check that a wheel holds the package, its licence and its type marker, and nothing else."""

import sys
from pathlib import Path
from zipfile import ZipFile

MAX_BYTES = 360_000


def check(path: Path) -> None:
    """Raise AssertionError unless the wheel at `path` is as it should be."""
    names = ZipFile(path).namelist()
    metadata = f"{'-'.join(path.name.split('-')[:2])}.dist-info"

    strays = [name for name in names if name.split("/")[0] not in {"skgrow", metadata}]
    assert not strays, f"files outside the package: {strays}"
    for needed in ("skgrow/__init__.py", "skgrow/py.typed", f"{metadata}/licenses/LICENSE"):
        assert needed in names, f"{needed} is missing"
    size = path.stat().st_size
    assert size < MAX_BYTES, f"{size} bytes, at most {MAX_BYTES} are allowed"
    print(f"{path.name}: {len(names)} files, {size} bytes")


if __name__ == "__main__":
    check(Path(sys.argv[1]))
