import os
from typing import Callable, List, Optional, Sequence, Tuple

__version__: str

class NativeError(Exception):
    args: Tuple[str, str, Optional[str], Optional[str], Optional[str]]

def run(
    arguments: Sequence[str],
    progress: Optional[Callable[[str, int, Optional[int], Optional[str]], object]] = None,
    metric: Optional[Callable[[os.PathLike[str]], float]] = None,
    lower_is_better: bool = False,
) -> Tuple[int, str]: ...
def inputs(model: str) -> List[Tuple[str, int]]: ...
def kept(model: str, plan: str) -> List[Tuple[str, int, str, List[List[int]]]]: ...
def main(arguments: List[str]) -> int: ...
