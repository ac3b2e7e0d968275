"""Settings of the service: which students, how many replicas, and its limits."""

from pathlib import Path

from pydantic import Field, model_validator

from mint_ray.config.base import Section

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServedStudentConfig(Section):
    """One student behind the service, scaled by itself."""

    student: str = Field(min_length=1)
    """A folder with a student, or `models:/NAME@champion`."""
    more_models: dict[str, str] = Field(default_factory=dict)
    """Further students by the name that requests ask for as `model`; loaded when first asked for,
    and over the same base model as `student` where it is the same."""
    refresh_seconds: float = Field(30, gt=0)
    """How often a student of the registry is looked up again: a new champion then takes over
    between two batches."""
    min_replicas: int = Field(1, ge=1)
    """Replicas that are always there."""
    max_replicas: int = Field(2, ge=1)
    """Replicas under load."""
    scale_up_seconds: float = Field(10, ge=0)
    """How long load must last before a replica is added."""
    scale_down_seconds: float = Field(300, ge=0)
    """How long it must be gone before one is drained and taken away."""
    batch_size: int = Field(8, ge=1)
    """Requests that are computed together."""
    batch_wait_seconds: float = Field(0.005, ge=0)
    """How long a request waits for company."""
    max_queued_requests: int = Field(16, ge=1)
    """Requests that wait beside the two batches in work; further ones get 429 with Retry-After."""
    cpus: float = Field(1, gt=0)
    """CPUs of each replica."""
    gpus: float = Field(0, ge=0)
    """GPUs of each replica."""

    @model_validator(mode="after")
    def _in_order(self) -> "ServedStudentConfig":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"expected min_replicas up to max_replicas, found {self.min_replicas} and "
                f"{self.max_replicas}"
            )
        return self


class ServingConfig(Section):
    """The service (`mint serve`)."""

    host: str = "127.0.0.1"
    """Address to listen on; any but loopback needs `api_keys`."""
    port: int = Field(8000, ge=1, le=65535)
    """Port to listen on."""
    text: ServedStudentConfig | None = None
    """The student of notes; empty for none."""
    vision: ServedStudentConfig | None = None
    """The student of images; empty for none."""
    api_keys: Path | None = None
    """File with the SHA-256 of one API key a line, in hex; read again when it changes. Hashes in
    MINT_API_KEY_HASHES, separated by commas, count too."""
    requests_per_minute: int = Field(600, ge=1)
    """Per key, or per address where there are no keys."""
    timeout_seconds: float = Field(30, gt=0)
    """After which a request gets 504."""
    max_body_bytes: int = Field(30 * 2**20, ge=1024)
    """Larger bodies get 413."""
