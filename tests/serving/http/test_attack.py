"""The service under attack, in this process: all of it but Ray and the language model.

Whatever is sent gets an answer or a typed error; meanwhile neighbours get the right answer in time.
"""

import asyncio
import hashlib
import json
import logging
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest
from ray.serve._private.http_util import start_asgi_http_server
from ray.serve.config import HTTPOptions

from mint_ray.config.serving import ServingConfig
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.serving.api import requests
from mint_ray.serving.api.answers import Answer, Answerer, ModelInfo
from mint_ray.serving.api.requests import Asked, DiagnoseRequest, Options, PatientReader
from mint_ray.serving.deploy.replica import StudentReplica
from mint_ray.serving.http.app import make_app
from mint_ray.serving.http.guard import Guard
from mint_ray.serving.http.service import Service
from mint_ray.students.encoding.images import ShownImage
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.ranking.rankings import Ranking
from tests.serving.http import attacks
from tests.serving.http.attacks import Attack
from tests.serving.http.in_process import Handle

TEXTS, IMAGES, HEAVY, RAW, BYPASSES, CANARIES = 280, 810, 8, 240, 120, 80
AT_ONCE = 16
DEADLINE = 20.0
"""Seconds in which a neighbour has its answer."""
MOST_MEMORY = 512 * 2**20
"""Bytes by which the process may grow at its peak."""
NAMES = ("Alpha syndrome", "Beta syndrome", "Gamma syndrome")
KEY = "an-invented-key"
CANARY = "canary7f3a"
NEIGHBOUR = {"note": "Tall stature and arachnodactyly. No seizures.", "top_k": 3}


class Model:
    """Reads requests as a predictor does; what a student computes is played."""

    def __init__(self, ontology: Ontology, sees_images: bool) -> None:
        labels = [Label(f"X:{n}", name, (f"X:{n}",), (), ()) for n, name in enumerate(NAMES)]
        self.model = ModelInfo(name="tiny", version="1", coverage=None)
        self.reader = None if sees_images else PatientReader(ontology)
        self._answerer = Answerer(Catalogue(labels), None, self.model, ontology)

    def read_patient(self, request: DiagnoseRequest) -> Asked:
        assert self.reader is not None
        return self.reader.read(request)

    def read_image(self, data: bytes, options: Options) -> Asked:
        def prompt(image: ShownImage) -> Prompt:
            return Prompt((int(image.digest[:4], 16),))

        return requests.read_image(data, options, prompt, side=64)

    def answer(self, asked: dict[str, Asked]) -> list[Answer]:
        return [
            self._answerer.nothing(request_id, item)
            if item.is_empty
            else self._answerer.answer(request_id, item, ranking_of(item))
            for request_id, item in asked.items()
        ]


def ranking_of(asked: Asked) -> Ranking:
    """A ranking that depends on the input alone, so that one of another request would show."""
    drawn = hashlib.sha256(repr((asked.note, asked.image)).encode("utf-8", "replace")).digest()
    labels = sorted(range(len(NAMES)), key=lambda n: drawn[n])
    shares = sorted((0.1 + drawn[n] for n in range(len(NAMES))), reverse=True)
    found = tuple(share / sum(shares) for share in shares)
    return Ranking(tuple(labels), found, found, None, None, False)


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return load_ontology()


@pytest.fixture
def asked() -> list[str]:
    """Ids of requests that reached a model."""
    return []


@pytest.fixture
def make(
    ontology: Ontology, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Guard]:
    """Makes the service with one replica for notes and one for images."""
    replica_class = StudentReplica.func_or_class

    async def answer(self: Any, model: Model, request_id: str, item: Asked) -> Answer:
        asked.append(request_id)
        return model.answer({request_id: item})[0]

    monkeypatch.setattr(replica_class, "_answer", answer)  # without Ray Serve's batches

    def made(**settings: Any) -> Guard:
        handles: list[Any] = []
        for sees_images in (False, True):
            replica = replica_class()
            replica._config = {"more_models": {}}
            replica._main = SimpleNamespace(predictor=Model(ontology, sees_images))
            handles.append(Handle(diagnose=replica.diagnose, tissue=replica.tissue))
        config = ServingConfig.model_validate(
            {"requests_per_minute": 10**6, "timeout_seconds": DEADLINE, **settings}
        )
        return make_app(Service(handles[0], handles[1], config), config)

    return made


def client_of(app: Guard) -> httpx.AsyncClient:
    transport: Any = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def send(client: httpx.AsyncClient, attack: Attack) -> httpx.Response:
    headers = [(k.encode(), v.encode("latin-1")) for k, v in attack.headers.items()]
    more: Any = {"content": attack.content, "headers": headers}
    return await client.request(attack.method, attack.path, **more)


async def neighbour(ask: Callable[[], Awaitable[dict[str, Any]]], stop: asyncio.Event) -> int:
    """Ask all the time; return how often the right answer came."""
    expected, count = await ask(), 0
    while not stop.is_set():
        began = time.perf_counter()
        found = await ask()
        assert time.perf_counter() - began < DEADLINE
        assert found["ranking"] == expected["ranking"]
        count += 1
        await asyncio.sleep(0.005)
    return count


async def under_attack(app: Guard, sent: Iterable[Attack]) -> list[httpx.Response]:
    """Responses to attacks, `AT_ONCE` at a time, while three neighbours ask."""
    async with client_of(app) as client:

        async def ask() -> dict[str, Any]:
            response = await client.post("/v1/diagnose", json=NEIGHBOUR)
            assert response.status_code == 200
            return dict(response.json())

        stop = asyncio.Event()
        neighbours = [asyncio.create_task(neighbour(ask, stop)) for _ in range(3)]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(attack: Attack) -> httpx.Response:
            async with places:
                return await send(client, attack)

        responses = await asyncio.gather(*map(one, sent))
        stop.set()
        assert min(await asyncio.gather(*neighbours)) > 0
        return responses


def check_typed(responses: list[httpx.Response]) -> None:
    for response in responses:
        assert response.status_code < 500, response.text[:300]
        if response.status_code >= 400:
            error = response.json()["error"]
            assert error["reason"]
            assert error["message"]
            assert error["request_id"] == response.headers["x-mint-request-id"]


@pytest.mark.parametrize(
    ("kind", "count"),
    [(attacks.texts, TEXTS), (attacks.images, IMAGES), (attacks.heavy, HEAVY)],
    ids=["texts", "images", "heavy"],
)
def test_whatever_is_sent_gets_an_answer_or_a_typed_error(
    kind: Callable[[int], Iterable[Attack]], count: int, make: Callable[..., Guard]
) -> None:
    sent = list(kind(count))  # making them takes memory, too
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    responses = asyncio.run(under_attack(make(), sent))
    assert len(responses) == count
    check_typed(responses)
    answered = sum(response.status_code == 200 for response in responses)
    assert 0 < answered < count
    for response in responses:
        if response.status_code == 200 and response.headers["content-type"] == attacks.JSON:
            body = response.json()
            names = {entry["name"] for entry in body.get("ranking", ())}
            assert names <= set(NAMES)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY


def test_no_request_reaches_a_model_without_a_right_key(
    make: Callable[..., Guard], asked: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(hashlib.sha256(KEY.encode()).hexdigest())

    async def attack() -> list[httpx.Response]:
        async with client_of(make(api_keys=file)) as client:
            sent = attacks.bypasses(BYPASSES, KEY)
            refused = [await send(client, item) for item in sent]
            assert asked == []
            right = {"authorization": f"Bearer {KEY}"}
            allowed = await client.post("/v1/diagnose", json=NEIGHBOUR, headers=right)
            assert allowed.status_code == 200
            return refused

    refused = asyncio.run(attack())
    assert len(refused) == BYPASSES
    assert {response.status_code for response in refused} == {401}
    assert len(asked) == 1


def test_nothing_that_was_said_is_repeated_or_logged(
    make: Callable[..., Guard], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "mint_ray"):
        responses = asyncio.run(under_attack(make(), attacks.canaries(CANARIES, CANARY)))
    assert len(responses) == CANARIES
    check_typed(responses)
    assert "POST" in caplog.text  # the audit log is on
    assert CANARY not in caplog.text
    for response in responses:
        assert CANARY not in response.text
        assert CANARY not in str(response.headers)


async def connect_and_send(port: int, data: bytes, seconds: float) -> bytes:
    """What the server says in this time, or until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = bytearray()
    try:
        async with asyncio.timeout(seconds):
            writer.write(data)
            while part := await reader.read(2**16):
                said += part
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return bytes(said)


def test_bytes_that_are_no_http_leave_the_server_to_its_neighbours(
    make: Callable[..., Guard],
) -> None:
    app = make(body_seconds=0.5)

    async def attack() -> list[bytes]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = HTTPOptions(host="127.0.0.1", port=port)
        loop = asyncio.get_running_loop()
        serving, server = await start_asgi_http_server(app, options, event_loop=loop)  # type: ignore[arg-type]
        while not server.started:
            await asyncio.sleep(0.005)
        body = json.dumps(NEIGHBOUR).encode()
        head = b"POST /v1/diagnose HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body

        async def ask() -> dict[str, Any]:
            said = await connect_and_send(port, request, DEADLINE)
            assert said.startswith(b"HTTP/1.1 200 OK"), said[:300]
            return dict(json.loads(said.partition(b"\r\n\r\n")[2]))

        stop = asyncio.Event()
        neighbours = [asyncio.create_task(neighbour(ask, stop)) for _ in range(3)]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(data: bytes) -> bytes:
            async with places:
                return await connect_and_send(port, data, seconds=0.3)

        try:
            said = await asyncio.gather(*(one(data) for data in attacks.raw(RAW)))
            stop.set()
            assert min(await asyncio.gather(*neighbours)) > 0
        finally:
            server.should_exit = True
            await serving
        return said

    said = asyncio.run(attack())
    assert len(said) == RAW
    statuses = {line.split(b" ")[1] for line in said if line.startswith(b"HTTP/1.1 ")}
    assert statuses
    assert not [status for status in statuses if status.startswith(b"5")]
