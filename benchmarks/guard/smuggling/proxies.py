"""nginx and HAProxy as child processes, each with two doors: a strict one, and one as lenient as it can be told to be.
Both keep their connections to the service and use them for whoever comes next."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.guard.smuggling.listener import PROXIED
from benchmarks.serving.service import free_port

READY_S: Final = 30
LOOK_S: Final = 0.05
NGINX: Final = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 0; merge_slashes off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  proxy_http_version 1.1; proxy_next_upstream off; proxy_read_timeout 5s; client_body_timeout 5s;
  proxy_set_header {proxied} "$request_id $request_method";
  upstream service {{ server 127.0.0.1:{service}; keepalive 1; }}
  server {{
    listen 127.0.0.1:{strict};
    location / {{ proxy_pass http://service; proxy_set_header Connection "";
      proxy_set_header {proxied} "$request_id $request_method"; }}
  }}
  server {{
    listen 127.0.0.1:{lenient}; ignore_invalid_headers off; underscores_in_headers on;
    location / {{ proxy_pass http://service; proxy_request_buffering off; proxy_buffering off;
      proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header {proxied} "$request_id $request_method"; }}
  }}
}}
"""
HAPROXY: Final = """
global
  nbthread 1
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout http-request 5s
  timeout server 5s
  retries 0
  http-reuse always
frontend strict
  bind 127.0.0.1:{strict}
  http-request set-header {proxied} "%[uuid()] %[method]"
  default_backend service
frontend lenient
  bind 127.0.0.1:{lenient}
  option accept-invalid-http-request
  no option http-buffer-request
  http-request set-header {proxied} "%[uuid()] %[method]"
  default_backend service
backend service
  option accept-invalid-http-response
  server one 127.0.0.1:{service} pool-max-conn 1
"""
PROXIES: Final = {"nginx": (NGINX, ["-c"]), "haproxy": (HAPROXY, ["-db", "-q", "-f"])}
OF_ROOT: Final = "/usr/sbin"  # where Debian puts them, and few have in their PATH


def program(name: str) -> str | None:
    """Where it is installed."""
    return shutil.which(name) or shutil.which(name, path=OF_ROOT)


def version(name: str) -> str:
    """What the installed one says it is; raises FileNotFoundError where there is none."""
    said = subprocess.run([program(name) or name, "-v"], capture_output=True, text=True, check=True)
    return (said.stdout + said.stderr).splitlines()[0].partition(" - ")[0]


@contextmanager
def proxy(name: str, folder: Path, service: int) -> Iterator[tuple[int, int]]:
    """The strict and the lenient port of one in front of the service's port, until the block ends."""
    text, options = PROXIES[name]
    strict, lenient = free_port(), free_port()
    path = folder / f"{name}.conf"
    places = {"folder": folder, "service": service, "strict": strict, "lenient": lenient, "proxied": PROXIED}
    path.write_text(text.format(**places), "utf-8")
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([program(name) or name, *options, str(path)], stdout=log, stderr=log, cwd=folder)
        try:
            for port in (strict, lenient):
                _wait_for(port, process)
            yield strict, lenient
        finally:
            process.terminate()
            process.wait(READY_S)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(LOOK_S)
    raise RuntimeError(f"the proxy does not listen (exit code {process.poll()}): see its log")
