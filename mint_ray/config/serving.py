"""Settings of the service: students, replicas and limits."""

from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from mint_ray.config.base import Section

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServedStudentConfig(Section):
    """One student of the service, with its own number of replicas."""

    student: str = Field(min_length=1)
    """Folder of a student, or `models:/NAME@champion`."""
    more_models: dict[str, str] = Field(default_factory=dict)
    """Further students, by the name that requests give as `model`. Each is loaded at its first
    request. A student of the same base model as `student` shares that model in memory."""
    refresh_seconds: float = Field(30, gt=0)
    """Seconds between look-ups of a student in the registry. A new champion then takes over between
    two batches."""
    min_replicas: int = Field(1, ge=1)
    """Smallest number of replicas."""
    max_replicas: int = Field(2, ge=1)
    """Largest number of replicas, reached under load."""
    scale_up_seconds: float = Field(10, ge=0)
    """Seconds that load must last before a replica is added."""
    scale_down_seconds: float = Field(300, ge=0)
    """Seconds without that load before a replica is drained and removed."""
    batch_size: int = Field(8, ge=1)
    """Largest number of requests that are computed together."""
    batch_wait_seconds: float = Field(0.05, ge=0)
    """Seconds that a batch waits for further requests, once the one before it is done. Several
    notes together take hardly longer than one, so that a short wait serves more callers."""
    max_queued_requests: int = Field(16, ge=1)
    """Largest number of requests that wait, beside the two batches in work. Further requests get
    429 with Retry-After."""
    cpus: float = Field(1, gt=0)
    """CPUs of each replica."""
    threads: int | None = Field(None, ge=1)
    """Torch CPU threads of each replica. Empty for `cpus`, rounded."""
    gpus: float = Field(0, ge=0)
    """GPUs of each replica."""

    @model_validator(mode="after")
    def _in_order(self) -> "ServedStudentConfig":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"expected min_replicas at most max_replicas, found {self.min_replicas} and "
                f"{self.max_replicas}"
            )
        return self


class ServingConfig(Section):
    """HTTP service (`mint serve`)."""

    host: str = "127.0.0.1"
    """Address to listen on. Any address but a loopback one needs `api_keys`."""
    port: int = Field(8000, ge=1, le=65535)
    """Port to listen on."""
    text: ServedStudentConfig | None = None
    """Student that reads notes. Empty to serve none."""
    vision: ServedStudentConfig | None = None
    """Student that reads images. Empty to serve none."""
    documents: Path | None = None
    """Folder of a finished `index` step (`mint path CONFIG index`), whose documents are searched by
    words for requests with `explain: documents`. Every node must see it. Empty to refuse those
    requests. `mint serve` takes the config's own index, if it is finished and the student is the
    config's own."""
    api_keys: Path | None = None
    """File with the SHA-256 of one API key per line, in hex. It is read again when it changes.
    Hashes in MINT_API_KEY_HASHES, separated by commas, are accepted too."""
    allowed_hosts: list[str] = Field(default_factory=list)
    """Names by which clients may ask for the service, without ports. Empty for any name where
    requests need a key, and for 127.0.0.1, localhost and ::1 where they need none: else a page on
    the web could ask in a user's browser, by a name of its own that leads to this machine."""
    trusted_proxies: list[str] = Field(default_factory=list)
    """Addresses and networks (`10.0.0.0/8`) of reverse proxies whose X-Forwarded-For is believed.
    Empty to believe none."""
    requests_per_minute: int = Field(600, ge=1)
    """Largest number of requests per minute, for each key, or for each address if there are no
    keys. Each line of a batch counts as one, and waits where a request would be refused."""
    timeout_seconds: float = Field(30, gt=0)
    """Seconds after which a request gets 504. Each line of a batch has as many."""
    body_seconds: float = Field(20, gt=0)
    """Seconds in which the body of a request has to arrive. Slower ones get 408."""
    max_body_bytes: int = Field(30 * 2**20, ge=1024)
    """Largest body of a request, in bytes. Larger bodies get 413. The body of a patient has a
    smaller limit of its own."""

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            ip_network(entry, strict=False)
        return entries
