"""Exit 0 when the service answers 200: `healthcheck.py [URL]`. Slim images have no curl."""

import sys
import urllib.error
import urllib.request

LIVE = "http://127.0.0.1:8000/health/live"
TIMEOUT_S = 4


def ask(url: str) -> tuple[bool, str]:
    """Whether the answer is 200, and what it says."""
    # Never through a proxy: this asks the container itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return True, f"{answer.status} {answer.read(500).decode('utf-8', 'replace')}"
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read(500).decode('utf-8', 'replace')}"
    except OSError as error:
        return False, f"no answer from {url}: {error}"


if __name__ == "__main__":
    healthy, said = ask(sys.argv[1] if len(sys.argv) > 1 else LIVE)
    sys.stdout.write(f"{said}\n")
    sys.exit(0 if healthy else 1)
