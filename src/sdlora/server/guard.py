"""Who may ask for what, told from the head of a request alone.

A page of a stranger, opened in the browser of somebody who may teach, must not be able to do so behind their back: such
a request names a foreign ``Origin``, or, after the stranger's name was rebound to this address, a foreign ``Host``.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from sdlora.errors import ConfigError
from sdlora.server.problems import ProblemError

OPEN_PREFIXES = ("/page/", "/health/")
OPEN = ("/", "/docs", "/openapi.json", "/metrics", "/v1/model", "/v1/model/card", "/v1/model/config", "/v1/predict")


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The rules of one server.

    Attributes:
        host: Address it listens at.
        names: Further names by which it may be called.
        can_teach: Whether lessons, renaming and undoing are on.
        token: What a client must know for them; None for no token.

    Raises:
        ConfigError: If everybody who reaches the address could teach.
    """

    host: str
    names: tuple[str, ...] = ()
    can_teach: bool = True
    token: str | None = None

    def __post_init__(self) -> None:
        if self.can_teach and self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} with teaching on lets anyone change the model",
                fix="--teach off, or --token-file FILE",
            )

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Refuse what must not be served.

        Args:
            method: HTTP method.
            path: Path of the request, decoded.
            headers: By name in lower case.

        Raises:
            ProblemError: 403 for a foreign host or origin or when teaching is off, 401 without the token.
        """
        self._check_host(headers.get("host", ""))
        self._check_origin(method, path, headers)
        if not is_open(path):
            self._check_teaching(headers.get("authorization", ""))

    def _check_host(self, host: str) -> None:
        name = _name(host)
        known = {"localhost", self.host.lower(), *(other.lower() for other in self.names)}
        # A numeric address cannot be rebound; on loopback only loopback itself makes sense.
        is_known = name in known or (is_loopback(name) if is_loopback(self.host) else _is_address(name))
        if not is_known:
            raise ProblemError(
                403,
                "foreign_host",
                f'This server is not called "{name[:100]}".',
                fix="Start the server with --allow-host NAME." if name else "Send a Host header.",
            )

    def _check_origin(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
            raise ProblemError(403, "foreign_origin", f"Requests from pages of {origin[:100]} are not served.")
        is_link = method == "GET" and path in ("/", "/docs") and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not is_link:
            raise ProblemError(403, "foreign_origin", f"Requests from other pages ({site[:20]}) are not served.")

    def _check_teaching(self, authorization: str) -> None:
        if not self.can_teach:
            raise ProblemError(403, "teaching_off", "Teaching is off here.", fix="Start with --teach on.")
        if self.token is not None and not hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode()):
            raise ProblemError(
                401, "token", "Teaching needs the token of this server.", fix="Authorization: Bearer TOKEN"
            )


def is_open(path: str) -> bool:
    """Whether a path needs no token; every other one does, so a new route is closed until it is named here."""
    return path in OPEN or path.startswith(OPEN_PREFIXES)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """Return a Host header without its port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
