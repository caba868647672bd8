"""What `--inputs` may name: an array file, a folder of images or arrays, or a text with a sample a line.

An image becomes numbers from `pixels` (black, white), a plane a colour, of exactly the input's size: nothing is scaled or cut. A
line of a text has the numbers of a sample, or, where the input takes whole numbers, characters, whose bytes these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from host.errors import HostError
from models.input_file import InputError, check_input, read_text_input
from models.network import Array

ARRAYS = (".npy", ".npz")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
MOST_TEXT_BYTES = 1 << 26
_MOST_FILES = 100_000


def read_inputs(
    who: str, path: Path, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str], pixels: tuple[float, float]
) -> dict[str, Array]:  # fmt: skip
    """Return samples by input, (samples, ...) each; `shapes` and `dtypes` are the inputs'. HostError, one line, for what does not
    fit.
    """
    if path.suffix in ARRAYS:
        return read_arrays(who, path, shapes)
    if len(shapes) > 1:
        raise HostError(f"{who}: the network has {len(shapes)} inputs; needs an .npz with an array for each")
    ((name, shape),) = shapes.items()
    if path.is_dir():
        return {name: _read_folder(who, path, shape, pixels)}
    if path.suffix.lower() in IMAGES:
        return {name: _read_image(who, path, shape, pixels)[None]}
    return {name: _read_lines(who, path, shape, dtypes[name])}


def read_arrays(who: str, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return the arrays of a .npy or .npz file by input, (samples, ...) each; `shapes` are the inputs'."""
    names = list(shapes)
    try:
        check_input(path)
        read = np.load(path)
        arrays = {names[0]: read} if isinstance(read, np.ndarray) else {name: read[name] for name in read.files}
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except Exception as error:  # numpy's reader answers with errors of a dozen kinds
        raise HostError(f"{who}: is no .npy or .npz file that can be read ({type(error).__name__})") from None
    if len(arrays) == len(names) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    if missing := [name for name in names if name not in arrays]:
        raise HostError(f"{who}: lacks {', '.join(missing)}; has {', '.join(arrays) or 'nothing'}")
    arrays = {name: arrays[name] for name in names}
    for name, array in arrays.items():
        _check(who, name, array, shapes[name])
    counts = {len(array) for array in arrays.values()}
    if len(counts) > 1 or not min(counts):
        raise HostError(f"{who}: has {', '.join(map(str, sorted(counts)))} samples; needs as many for each input, at least 1")
    return arrays


def _check(who: str, name: str, array: Array, shape: tuple[int, ...]) -> None:
    sizes = _sizes(shape)
    if array.ndim == 0 or array.shape[1:] not in (sizes, shape) or array.dtype.kind not in "iuf":
        need = ", ".join(["samples", *map(str, sizes)])
        raise HostError(f"{who}: {name} needs numbers of shape ({need}), has {array.dtype} {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise HostError(f"{who}: {name} has numbers that are not finite")


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return an input's shape without its batch of one."""
    return shape[1:] if shape[:1] == (1,) else shape


def _read_folder(who: str, folder: Path, shape: tuple[int, ...], pixels: tuple[float, float]) -> Array:
    """Return a sample a file, in the order of their names: images, or .npy files."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (*IMAGES, ".npy"))
    except OSError as error:
        raise HostError(f"{who}: cannot be read ({error.strerror})") from None
    if not files:
        raise HostError(f"{who}: has no image and no .npy file")
    if len(files) > _MOST_FILES:
        raise HostError(f"{who}: has {len(files):,} files; at most {_MOST_FILES:,}")
    samples = [
        (_read_one if path.suffix == ".npy" else partial(_read_image, pixels=pixels))(f"{who}/{path.name}", path, shape)
        for path in files
    ]
    kinds = {sample.dtype.kind == "i" and sample.dtype.itemsize == 1 for sample in samples}
    if len(kinds) > 1:
        raise HostError(f"{who}: some files are int8, others are not; needs one kind")
    return np.stack(samples)


def _read_one(who: str, path: Path, shape: tuple[int, ...]) -> Array:
    """Return the one sample of a .npy file."""
    try:
        check_input(path)
        array: Array = np.load(path)
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except Exception as error:  # numpy's reader answers with errors of a dozen kinds
        raise HostError(f"{who}: is no .npy file that can be read ({type(error).__name__})") from None
    _check(who, "it", array[None], shape)
    return array.reshape(_sizes(shape))


def _read_image(who: str, path: Path, shape: tuple[int, ...], pixels: tuple[float, float]) -> Array:
    """Return an image as float32 (colours, rows, columns)."""
    from PIL import Image, UnidentifiedImageError

    sizes = _sizes(shape)
    if len(sizes) != 3 or sizes[0] not in (1, 3):
        raise HostError(f"{who}: is an image; the network takes numbers of shape {sizes}, no planes of 1 or 3 colours")
    colours, rows, columns = sizes
    try:
        check_input(path)
        with Image.open(path) as image:
            if image.size != (columns, rows):
                have = f"{image.size[0]} x {image.size[1]}"
                raise HostError(f"{who}: needs {columns} x {rows} pixels, has {have}; nothing is scaled here")
            values = np.asarray(image.convert("L" if colours == 1 else "RGB"), np.float32)
    except HostError:
        raise
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise HostError(f"{who}: is no image that can be read ({type(error).__name__})") from None
    black, white = pixels
    planes = values.reshape(rows, columns, colours).transpose(2, 0, 1)
    return np.asarray(black + (white - black) * planes / 255, np.float32)


def _read_lines(who: str, path: Path, shape: tuple[int, ...], dtype: str) -> Array:
    """Return a sample a line of a text."""
    try:
        lines = [line for line in read_text_input(path, MOST_TEXT_BYTES).splitlines() if line.strip()]
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except UnicodeDecodeError:
        raise HostError(f"{who}: is no text in UTF-8, no .npy or .npz file, no image and no folder") from None
    if not lines:
        raise HostError(f"{who}: has no line with a sample")
    sizes = _sizes(shape)
    count = int(np.prod(sizes))
    samples = []
    for number, line in enumerate(lines, start=1):
        try:
            sample = np.array([float(word) for word in line.replace(",", " ").split()], np.float32)
        except ValueError:
            if dtype != "int32":
                raise HostError(f"{who}: line {number} has words; the network takes numbers") from None
            sample = np.frombuffer(line.encode(), np.uint8).astype(np.int32)
        if sample.size != count or not np.isfinite(sample).all():
            raise HostError(f"{who}: line {number} has {sample.size:,} numbers or bytes; a sample needs {count:,}, all finite")
        samples.append(sample.reshape(sizes))
    return np.stack(samples)
