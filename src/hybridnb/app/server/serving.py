"""`hybridnb serve`: one Jupyter server, configured here and by nothing else.

What a user's own Jupyter configuration says doesn't count: a server that trades must not be
opened by a line that was written for another.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hybridnb import __version__
from hybridnb.app.dashboard.entry import jupyter_data
from hybridnb.app.home import Home, checkout, home, shipped
from hybridnb.app.progress import Say
from hybridnb.app.runner import write_atomically
from hybridnb.app.server.addresses import is_loopback
from hybridnb.errors import HybridnbError, Missing, UsageError

PORT, IP, TOKEN = 8051, "127.0.0.1", "JUPYTER_TOKEN"
# Of Lab: what asks for a part of the server that isn't there, or for the network.
WITHOUT = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/extensionmanager-extension",
    "@voila-dashboards/jupyterlab-preview",
)
# Milliseconds: a page whose network went away without a word is noticed after these.
PINGS = {"ws_ping_interval": 5_000, "ws_ping_timeout": 15_000}
LONGEST_SOCKET = 100  # bytes of a socket's path; kernels of longer ones talk over TCP
KERNEL_SOCKET = len("/kernel-") + 36 + len("-ipc-5")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a server listens, and who may enter.

    Attributes
    ----------
    given : bool
        The token came from the environment: it isn't printed.
    """

    ip: str
    port: int
    token: str
    given: bool
    certfile: str = ""
    keyfile: str = ""

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        name = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{'https' if self.certfile else 'http'}://{name}:{self.port}/"

    def told(self) -> dict[str, Any]:
        """What a caller is told once the server is ready; the token only where we made it."""
        shown = {"url": self.url, "ip": self.ip, "port": self.port, "pid": os.getpid()}
        return shown if self.given else shown | {"token": self.token}


def binding(*, ip: str, port: int, certfile: str, keyfile: str) -> Binding:
    """Where to listen, checked.

    Raises
    ------
    UsageError
        For another address than this machine's own without a token of the operator's and TLS.
    Missing
        When the port is taken, or the address or a file of the certificate isn't there.
    """
    given = os.environ.get(TOKEN, "")
    if not is_loopback(ip) and not (given and certfile and keyfile):
        raise UsageError(
            f"{ip or 'every address'} can be reached by others: a token and TLS are needed",
            remedy=f"Set {TOKEN} and give --certfile and --keyfile, or leave --ip out.",
        )
    if bool(certfile) != bool(keyfile):
        raise UsageError("TLS needs both", remedy="Give --certfile and --keyfile.")
    for name in filter(None, (certfile, keyfile)):
        if not Path(name).is_file():
            raise Missing(f"there is no file {name}", remedy="Name the certificate's files.")
    token = given or secrets.token_hex(24)
    return Binding(ip, _free(ip, port), token, bool(given), certfile, keyfile)


def _free(ip: str, port: int) -> int:
    """The port, if nobody has it; any free one for 0."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise Missing(
                f"port {port} of {ip} {'is taken' if taken else f'is not to be had: {error}'}",
                remedy="Stop what listens there, or give another --port.",
            ) from None
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def jupyter_folders(where: Home) -> Iterator[Path]:
    """Jupyter's folders for this process: the product's own, private; gives the runtime's.

    The dashboard's kernelspec and template are found without being installed. The runtime's
    folder holds sockets of kernels and the token: it goes with the server.
    """
    own = [str(files(f"hybridnb.app{part}").joinpath("share")) for part in (".server", "")]
    more = [*own, str(jupyter_data()), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    runtime = Path(tempfile.mkdtemp(prefix="hybridnb-"))
    os.environ["JUPYTER_PATH"] = os.pathsep.join(more)
    os.environ["JUPYTER_CONFIG_DIR"] = str(where.folder("jupyter"))
    page = {"disabledExtensions": dict.fromkeys(WITHOUT, True)}
    text = json.dumps(page, indent=1)
    write_atomically(where.folder("jupyter/labconfig") / "page_config.json", text)
    os.environ["JUPYTER_RUNTIME_DIR"] = str(runtime)
    try:
        yield runtime
    finally:
        shutil.rmtree(runtime, ignore_errors=True)  # a kernel that just ended may be faster


def notebooks_folder(where: Home) -> Path:
    """Lab's root: the checkout's notebooks; of an installed package, copies that may be edited.

    Each release has copies of its own: what was edited stays, and no old dashboard is shown.
    """
    if checkout() is not None:
        return shipped("notebooks")
    folder = where.folder(f"notebooks/{__version__}")
    for path in sorted(shipped("notebooks").glob("*.ipynb")):
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    return folder


def configuration(bound: Binding, root: Path, runtime: Path) -> Any:
    """Everything that the server is told, as its command line would tell it."""
    from traitlets.config import Config

    own = {
        "ip": bound.ip,
        "port": bound.port,
        "port_retries": 0,
        "kernel_manager_class": "hybridnb.app.server.meeting.MeetingKernels",
        "reraise_server_extension_failures": True,
        "open_browser": False,
        "root_dir": str(root),
        "default_url": "/",
        "answer_yes": True,
        "certfile": bound.certfile,
        "keyfile": bound.keyfile,
        "allow_unauthenticated_access": False,
        "allow_remote_access": not is_loopback(bound.ip),
        "allow_origin": "",
        "allow_origin_pat": "",
        "allow_credentials": False,
        "disable_check_xsrf": False,
        "trust_xheaders": False,
        "authenticate_prometheus": True,
        "tornado_settings": dict(PINGS),
        "allow_root": True,
    }
    told = {
        "ServerApp": own,
        "HybridnbApp": {"at_root": True},
        # Nothing here asks the network for news, or for extensions of Lab.
        "LabApp": {
            "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "news_url": None,
            "extension_manager": "readonly",
        },
        "IdentityProvider": {"token": bound.token},
        "PasswordIdentityProvider": {"hashed_password": "", "allow_password_change": False},
        "MappingKernelManager": {"cull_idle_timeout": 0},
    }
    return Config(told | transport(runtime))


def transport(runtime: Path) -> dict[str, Any]:
    """How kernels are talked to: over sockets that are files of ours, where their paths fit."""
    fits = len(str(runtime)) + KERNEL_SOCKET <= LONGEST_SOCKET
    return {"KernelManager": {"transport": "ipc"}} if fits else {}


def without_grammar() -> None:
    """Keep a grammar of addresses, that nothing here reads, from being built: a second's work."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def serve(
    *,
    ip: str = IP,
    port: int = PORT,
    certfile: str = "",
    keyfile: str = "",
    schedule: bool = True,
    say: Say,
    ready: Callable[[Mapping[str, Any]], None],
) -> None:
    """Serve until SIGTERM or SIGINT; every kernel ends with the server.

    Parameters
    ----------
    schedule : bool
        Run what is due, as long as the server runs.
    say : callable
        Gets a line a scheduled job.
    ready : callable
        Called once the server listens, with url, ip, port, pid, and the token where it was made.

    Raises
    ------
    UsageError, Missing
        As `binding` has it.
    """
    where = home()
    bound = binding(ip=ip, port=port, certfile=certfile, keyfile=keyfile)
    without_grammar()
    with (
        where.locked(f"server-{bound.port}"),  # a restore would leave it on the home before
        jupyter_folders(where) as runtime,
        scheduled(say if schedule else None) as begin,
    ):
        server = made(bound, notebooks_folder(where), runtime)
        extension = server.extension_manager.extension_points["hybridnb"].app

        def told() -> None:
            ready(bound.told())
            begin()

        extension.ready = told
        server.start()


@contextlib.contextmanager
def scheduled(say: Say | None) -> Iterator[Callable[[], None]]:
    """What begins the schedule; it ends with this. None leaves what is due to others."""
    began: list[tuple[threading.Thread, Any]] = []

    def begin(tell: Say) -> None:
        from hybridnb.app.schedule.passing import Passing

        passing = Passing(say=tell)
        thread = threading.Thread(target=_passing, args=(passing, tell), name="schedule-start")
        began.append((thread, passing))
        thread.start()

    yield (lambda: None) if say is None else (lambda: begin(say))
    for thread, passing in began:
        thread.join()
        passing.stop()


def _passing(passing: Any, say: Say) -> None:
    """Start; a schedule that can't be read is told, and the server goes on without it."""
    try:
        passing.start()
    except HybridnbError as error:
        say(f"nothing is scheduled: {error} {error.remedy}".strip())


def made(bound: Binding, root: Path, runtime: Path) -> Any:
    """The server, listening but not answering yet."""
    from jupyter_server.serverapp import ServerApp
    from jupyter_server.utils import JupyterServerAuthWarning

    ServerApp.clear_instance()
    server = ServerApp.instance(
        config=configuration(bound, root, runtime),
        jpserver_extensions={
            "hybridnb.app.server": True,
            "jupyter_server_terminals": True,
        },
    )
    with warnings.catch_warnings():  # terminals of Lab: those without a login are held off anyway
        warnings.simplefilter("ignore", JupyterServerAuthWarning)
        server.initialize(argv=[], find_extensions=False)
    return server
