"""Exit 0 when the service answers 200: `healthcheck.py [URL]`. Slim images have no curl.

Where the service speaks TLS, so does this; its certificate is not checked, as this asks the container itself.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request

LIVE = "http://127.0.0.1:8000/health/live"
TIMEOUT_S = 4


def ask(url: str) -> tuple[bool, str]:
    """Whether the answer is 200, and what it says."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if os.environ.get("LUNGSCOPE_TLS_CERTIFICATE"):
        url = url.replace("http://", "https://", 1)
    # Never through a proxy: this asks the container itself.
    https = urllib.request.HTTPSHandler(context=context)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return True, f"{answer.status} {answer.read(500).decode('utf-8', 'replace')}"
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read(500).decode('utf-8', 'replace')}"
    except OSError as error:
        # It has no certificate of a client to show. Who asks for one is alive.
        if os.environ.get("LUNGSCOPE_TLS_CLIENT_CA") and "CERTIFICATE_REQUIRED" in str(error):
            return True, "a client certificate is asked for"
        return False, f"no answer from {url}: {error}"


if __name__ == "__main__":
    healthy, said = ask(sys.argv[1] if len(sys.argv) > 1 else LIVE)
    sys.stdout.write(f"{said}\n")
    sys.exit(0 if healthy else 1)
