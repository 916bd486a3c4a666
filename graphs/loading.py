"""A deployment's own code: the module that a `Source` names is imported once in a process."""

import sys
from collections.abc import Iterable
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from runtime.langgraph_json import Source

# Imports of two threads wait for each other; a module that is loaded may load another one.
_lock = RLock()


def load(source: Source, paths: Iterable[Path] = ()) -> Any:
    """What the source names; `paths` are folders from which it may import.

    They come last, so that no module of a deployment takes the place of one of the server's. Raises ImportError where
    there is no such module or name in it, and whatever importing it raises. Blocking: seconds, where it is large.
    """
    with _lock:
        for path in map(str, paths):
            if path not in sys.path:
                sys.path.append(path)
        module = _module_of(Path(source.place)) if source.is_file else import_module(source.place)
        try:
            return getattr(module, source.attribute)
        except AttributeError:
            raise ImportError(f"There is no {source.attribute!r} in {source.place}.") from None


def _module_of(file: Path) -> ModuleType:
    """The module of a file: the one that others import from there, if it is in a package that can be imported."""
    name, package = file.stem, file.parent
    while (package / "__init__.py").exists():
        name, package = f"{package.name}.{name}", package.parent
    if "." in name and _is_found(name, file):
        return import_module(name)
    return _module_of_its_own(file)


def _is_found(name: str, file: Path) -> bool:
    """Whether importing `name` gives this very file: its package may have the name of another one."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == file


def _module_of_its_own(file: Path) -> ModuleType:
    # Its own name may be one of ours ("graphs"). Annotations and dataclasses look their module up by name.
    name = f"hosted_{sha256(str(file).encode()).hexdigest()[:8]}_{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported.")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
