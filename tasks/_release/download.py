"""Downloads that go on where they were cut off."""

import http
import http.client
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from tasks._release.files import chunks, note_digest, sha256
from tasks.task import DataError

_TIMEOUT = 60  # seconds without a byte
_AGAIN = "run the same command again, it goes on from there"


def download(
    url: str,
    destination: str | Path,
    num_bytes: int | None = None,
    digest: str | None = None,
) -> Path:
    """Fetch a file, unless it is there, and return its path.

    What has come lies in `<destination>.part` until it is complete, so that the next
    call goes on from there. The SHA-256 is written to `<destination>.sha256`.

    Args:
      url: http or https; only a server that knows ranges lets a download go on.
      destination: file, or existing folder.
      num_bytes: the size the file must have.
      digest: the SHA-256, in hexadecimal, the file must have.

    Raises:
      DataError: no connection, an answer other than the file, or another size or
        digest than asked for.
    """
    destination = Path(destination).expanduser()
    if destination.is_dir():
        destination /= PurePosixPath(urllib.parse.urlsplit(url).path).name
    if not destination.exists():
        destination.parent.mkdir(parents=True, exist_ok=True)
        part = destination.with_name(f"{destination.name}.part")
        _fetch(url, part)
        actual = _verified(part, num_bytes, digest)
        part.rename(destination)
    else:
        actual = _verified(destination, num_bytes, digest)
    note_digest(destination, actual)
    return destination


def _fetch(url: str, part: Path) -> None:
    """Append to `part` until it is whole; a lost connection is taken up again.

    An attempt that brings nothing is the last.
    """
    while True:
        before = _size(part)
        try:
            if _fetch_rest(url, part, before):
                return
            reason: object = "the connection was lost"
        except (OSError, http.client.HTTPException) as error:
            reason = error
        if _size(part) <= before:
            raise DataError(
                f"cannot fetch {url}: {reason}; {before} bytes lie in {part}: {_AGAIN}"
            )


def _fetch_rest(url: str, part: Path, start: int) -> bool:
    """Append what follows byte `start`; return whether the file is whole then."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            return _append(response, part, start)
    except urllib.error.HTTPError as error:
        # No bytes follow: the file is whole, or is not that of the server.
        if error.code == 416 and _total(error.headers) == start:
            return True
        hint = f"delete {part} and run again" if error.code == 416 else "is it right?"
        raise DataError(
            f"{url}: the server answers {error.code} {error.reason}; {hint}"
        ) from error


def _append(response: http.client.HTTPResponse, part: Path, start: int) -> bool:
    """Write a response to `part`; return whether the file is whole then."""
    # A server that does not know ranges sends everything again.
    resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
    total = _total(response.headers)
    bar = tqdm(
        total=total,
        initial=start if resumed else 0,
        desc=part.stem,
        unit="B",
        unit_scale=True,
        disable=None,
    )
    with part.open("ab" if resumed else "wb") as file, bar:
        for chunk in chunks(response):
            file.write(chunk)
            bar.update(len(chunk))
    return total is None or _size(part) == total


def _total(headers: Message) -> int | None:
    """Return the size of the whole file an answer tells of, if it does."""
    size = headers.get("Content-Range", "").rpartition("/")[2]
    size = size or headers.get("Content-Length", "")
    return int(size) if size.isdecimal() else None


def _verified(file: Path, num_bytes: int | None, digest: str | None) -> str:
    """Return the SHA-256 of a file that has the size and digest asked for.

    Raises:
      DataError: it has not.
    """
    actual = sha256(file)
    if num_bytes not in (None, _size(file)):
        fault = f"has {_size(file)} bytes, not {num_bytes}"
    elif digest and digest.lower() != actual:
        fault = f"has the SHA-256 {actual}, not {digest.lower()}"
    else:
        return actual
    raise DataError(f"{file} {fault}: delete it and run again")


def _size(file: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none."""
    return file.stat().st_size if file.exists() else 0
