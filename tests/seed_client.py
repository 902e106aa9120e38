"""A client of the kind that services already have: one class, one kept connection, one log a call, no timestamps.

`python3 tests/seed_client.py URL KEY` sends a log of each level and prints nothing where all are taken.
"""
import http.client
import json
import sys
from urllib.parse import urlsplit

PATH = "/api/v1/logs/ingest"
TIMEOUT_S = 5


class ServiceLogger:
    """Sends what a service has to say. What goes wrong is printed and never raised: logging must not stop a service."""

    def __init__(self, service_name, api_url, api_key):
        self.service_name = service_name
        address = urlsplit(api_url)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def log(self, level, message, metadata=None):
        payload = {
            "service_name": self.service_name,
            "level": level.upper(),
            "message": message,
            "metadata": metadata or {},
        }
        try:
            self.connection.request("POST", PATH, body=json.dumps(payload), headers=self.headers)
            answer = self.connection.getresponse()
            text = answer.read().decode()
            if answer.status >= 400:
                raise OSError(f"{answer.status} {answer.reason}: {text}")
            return json.loads(text)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.connection.close()
            print(f"could not send a log: {error}")
            return None

    def debug(self, message, metadata=None):
        return self.log("debug", message, metadata)

    def info(self, message, metadata=None):
        return self.log("info", message, metadata)

    def warn(self, message, metadata=None):
        return self.log("warn", message, metadata)

    def warning(self, message, metadata=None):
        return self.log("warning", message, metadata)

    def error(self, message, metadata=None):
        return self.log("error", message, metadata)

    def critical(self, message, metadata=None):
        return self.log("critical", message, metadata)


def main(url, key):
    logger = ServiceLogger("checkout", url, key)
    kept = None
    for level in ["debug", "info", "warn", "warning", "error", "critical"]:
        getattr(logger, level)(f"said as {level} \u2713", {"order": 42, "nested": {"level": level}})
        # One connection for all of them.
        kept = kept or logger.connection.sock
        if logger.connection.sock is not kept:
            print(f"the connection was not kept after {level}")
    logger.info("said without metadata")


if __name__ == "__main__":
    main(*sys.argv[1:])
