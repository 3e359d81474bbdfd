"""What a server tells Prometheus: counts and times, by table; no value of a row and no name of a device."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_NAME = "ae_assets_serve"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_ROWS = (1, 10, 100, 1_000, 10_000, 100_000)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter(f"{_NAME}_requests", "Requests.", ["route", "status"], registry=own)
        self.seconds = Histogram(
            f"{_NAME}_request_seconds",
            "From the headers to the end of the answer.",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self.rows = Counter(f"{_NAME}_rows", "Rows by what became of them.", ["table", "outcome"], registry=own)
        self.shed = Counter(f"{_NAME}_shed", "Requests not answered, for want of what.", ["reason"], registry=own)
        self.in_work = Gauge(f"{_NAME}_requests_in_work", "Requests in work.", registry=own)
        self.waiting = Gauge(f"{_NAME}_waiting", "Requests that wait for the scorer.", registry=own)
        self.batch_requests = Histogram(
            f"{_NAME}_batch_requests",
            "Requests scored together.",
            ["table"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=own,
        )
        self.batch_rows = Histogram(f"{_NAME}_batch_rows", "Their rows.", ["table"], buckets=_ROWS, registry=own)
        self.batch_seconds = Histogram(
            f"{_NAME}_batch_seconds", "How long the model took for them.", ["table"], buckets=_SECONDS, registry=own
        )
        self.model = Gauge(f"{_NAME}_model_info", "1 for the version in use.", ["table", "version"], registry=own)
        self.refused = Counter(f"{_NAME}_models_refused", "Champions not taken up.", ["table"], registry=own)
        self.loaded = Counter(f"{_NAME}_models_loaded", "Champions taken up.", ["table"], registry=own)

    def page(self) -> bytes:
        return generate_latest(self.registry)
