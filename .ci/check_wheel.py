"""Fail if a wheel holds tests, benchmarks or sources, is 3 MB or more, or lacks its licence."""

import sys
import zipfile
from pathlib import Path

LIMIT = 3_000_000

wheel = Path(sys.argv[1])
names = zipfile.ZipFile(wheel).namelist()
foreign = [n for n in names if not n.startswith(("veil/", "veil-", "veil.libs/"))]
sources = [n for n in names if n.endswith((".cpp", ".hpp")) or "test" in Path(n).name]
faults = []
if foreign or sources:
    faults.append(f"unexpected files: {foreign + sources}")
if wheel.stat().st_size >= LIMIT:
    faults.append(f"{wheel.stat().st_size} bytes, expected less than {LIMIT}")
if not any(n.endswith("licenses/LICENSE") for n in names):
    faults.append("no licence file")
if "veil/py.typed" not in names or "veil/_core.pyi" not in names:
    faults.append("no py.typed or _core.pyi")
if faults:
    sys.exit(f"{wheel.name}: " + "; ".join(faults))
print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size} bytes")
