"""The teacher `endpoint`, against a real HTTP server."""

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai._base_client as openai_client
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.common.partial_answers import is_answered
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, MintError, TeacherError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.teachers.base import floor_of, load_teacher
from mint_ray.teachers.endpoint import ask
from mint_ray.teachers.endpoint.client import Pace
from mint_ray.teachers.endpoint.fit import NO_ANSWER, fit_endpoint
from mint_ray.teachers.registry import find_fitter
from tests.teachers.conftest import columns
from tests.teachers.endpoint.server import Body, FakeServer, completion, serving
from tests.teachers.tissue import CATALOGUE as TISSUES
from tests.teachers.tissue import tile

DISEASES = Catalogue(
    Label(f"OMIM:90000{i}", f"Invented disease {i}", (f"OMIM:90000{i}",), (f"ID{i}",), ())
    for i in range(9)
)
N_CASES = 12
SECRET = "sk-invented-secret"
PATIENT = "a patient named Elfriede"


def case(number: int, **changes: Any) -> dict[str, Any]:
    return {
        **blank_case(f"case-{number:02d}", "invented"),
        "split": ("train", "validation", "test")[number % 3],
        "label_id": f"OMIM:90000{number % 9}",
        "note": f"Note {number} of {PATIENT}.",
        **changes,
    }


def number_in(body: Body) -> int:
    found = re.search(r"Note (\d+) ", json.dumps(body["messages"]))
    assert found
    return int(found[1])


def knowing(body: Body) -> str:
    """Put the right answer second, behind a disease that nobody knows."""
    number = number_in(body)
    right = f"Invented disease {number % 9}"
    return f"POTENTIAL_DISEASES:\n1. 'Unheard of'\n2. '{right}'\n3. 'ID{(number + 1) % 9}'"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server that knows the answers, and a client that does not wait before it asks again."""
    monkeypatch.setattr(openai_client, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(ask, "SECOND_ROUND_SECONDS", 0.0)
    monkeypatch.setenv("INVENTED_KEY", SECRET)
    with serving(FakeServer(knowing)) as running:
        yield running


def run_of(server: FakeServer, task: str = "disease", **endpoint: Any) -> Config:
    settings = {
        "base_url": server.url,
        "model": "fake",
        "api_key_env": "INVENTED_KEY",
        "timeout": 30,
        "retries": 3,
        **endpoint,
    }
    source = {"disease": "simulated", "tissue": "tiles"}[task]
    teacher = {"name": "endpoint", "endpoint": settings}
    return Config.model_validate({"task": task, "cases": {"source": source}, "teacher": teacher})


def write_cases(
    folder: Path, cases: list[dict[str, Any]] | None = None, catalogue: Catalogue = DISEASES
) -> Path:
    folder.mkdir(exist_ok=True)
    rows = cases or [case(number) for number in range(N_CASES)]
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folder / "cases.parquet")
    catalogue.write(folder / "catalogue.parquet")
    return folder


def fit(tmp_path: Path, run: Config, cases: list[dict[str, Any]] | None = None) -> dict[str, float]:
    catalogue = DISEASES if run.task == "disease" else TISSUES
    source = write_cases(tmp_path / "cases", cases, catalogue)
    return fit_endpoint(source, run, tmp_path / "teacher", lambda metrics: None)


def answered(tmp_path: Path, number: int) -> list[str]:
    """Return the answered labels of a case, best first."""
    teacher = load_teacher(tmp_path / "teacher")
    [row] = teacher.score(columns([case(number)]))
    order = np.argsort(-row, kind="stable")
    return [teacher.labels[i] for i in order if is_answered(row, floor_of(teacher))[i]]


def test_lists_of_names_become_a_teacher(server: FakeServer, tmp_path: Path) -> None:
    metrics = fit(tmp_path, run_of(server))
    assert metrics["validation.top1"] == 1.0
    assert metrics["replies_asked"] == metrics["http_requests"] == N_CASES
    assert metrics["unknown_names"] == N_CASES
    assert metrics["tokens"] == 100 * N_CASES
    assert answered(tmp_path, 5) == ["OMIM:900005", "OMIM:900006"]
    assert load_teacher(tmp_path / "teacher").revision.startswith("endpoint@")
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("fake", 0.0, 512)
    assert "EXACTLY 10" in body["messages"][-1]["content"]
    assert "OMIM" not in json.dumps(server.bodies)  # no answer leaves the machine
    assert set(server.keys) == {f"Bearer {SECRET}"}


@pytest.mark.parametrize("failure", [429, 500, 503, "drop", "silent"])
def test_a_failed_request_is_repeated(
    server: FakeServer, tmp_path: Path, failure: int | str
) -> None:
    server.failures = [failure, failure]
    metrics = fit(tmp_path, run_of(server, concurrency=1, timeout=3))
    assert metrics["validation.top1"] == 1.0
    assert metrics["cases_unreached"] == 0
    assert metrics["http_requests"] == N_CASES + 2


@pytest.mark.parametrize("failure", ["garbage", "html"])
def test_garbage_is_asked_once_more_at_the_end(
    server: FakeServer, tmp_path: Path, failure: str
) -> None:
    server.failures = [failure]
    metrics = fit(tmp_path, run_of(server, concurrency=1))
    assert metrics["cases_unreached"] == 0
    assert answered(tmp_path, 0) == ["OMIM:900000", "OMIM:900001"]
    assert number_in(server.bodies[-1]) == 0


def test_a_refused_question_is_one_case_without_an_answer(
    server: FakeServer, tmp_path: Path
) -> None:
    server.failures = [400]
    metrics = fit(tmp_path, run_of(server, concurrency=1))
    assert metrics["cases_without_scores"] == 1
    teacher, batch = load_teacher(tmp_path / "teacher"), columns([case(0), case(1)])
    assert np.isnan(teacher.score(batch)).all(axis=1).tolist() == [True, False]
    assert teacher.unusable_reasons(batch) == [NO_ANSWER, ""]


@pytest.mark.parametrize(
    ("status", "message"), [(401, "INVENTED_KEY"), (403, "model"), (404, "base_url")]
)
def test_a_server_that_refuses_all_ends_the_step(
    server: FakeServer, tmp_path: Path, status: int, message: str
) -> None:
    server.failures = [status] * N_CASES
    with pytest.raises(TeacherError, match=f"answered {status}.*{message}"):
        fit(tmp_path, run_of(server, concurrency=2))
    assert len(server.bodies) < N_CASES


def test_a_restarted_step_asks_nobody_twice(server: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"5 replies with 500 tokens .* raise the limit"):
        fit(tmp_path, run_of(server, max_requests=5))
    with pytest.raises(TeacherError, match="max_total_tokens=700"):
        fit(tmp_path, run_of(server, max_total_tokens=700, concurrency=1))
    with (tmp_path / "teacher" / "replies.jsonl").open("ab") as torn:
        torn.write(b'{"case_id": "case-09", "key": "')
    metrics = fit(tmp_path, run_of(server))
    assert metrics["replies_asked"] == N_CASES - 7
    assert sorted(map(number_in, server.bodies)) == list(range(N_CASES))
    assert fit(tmp_path, run_of(server))["replies_asked"] == 0
    assert len(server.bodies) == N_CASES


def test_another_question_is_asked_again(server: FakeServer, tmp_path: Path) -> None:
    fit(tmp_path, run_of(server))
    assert fit(tmp_path, run_of(server, names=3))["replies_asked"] == N_CASES


def test_a_dead_server_ends_the_step_and_keeps_the_replies(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "MOST_LOST", 4)
    run = run_of(server, retries=0, concurrency=1)
    server.failures = [*[None] * 3, *[500] * 20]  # type: ignore[list-item]
    with pytest.raises(TeacherError, match=r"no reply to 4 .*3 replies are kept"):
        fit(tmp_path, run)
    server.failures = []
    assert fit(tmp_path, run)["replies_asked"] == N_CASES - 3


def test_a_few_lost_questions_do_not_stop_a_run_and_many_do(
    server: FakeServer, tmp_path: Path
) -> None:
    def moody(body: Body) -> str | Body:
        return {"choices": []} if number_in(body) in lost else knowing(body)

    server.reply, lost = moody, {3}
    assert fit(tmp_path, run_of(server))["cases_unreached"] == 1
    lost |= {4, 5}
    with pytest.raises(TeacherError, match="no reply to 3 of 12"):
        fit(tmp_path, run_of(server, names=2))


def test_neither_notes_nor_the_key_are_shown(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.failures = [500, "garbage", 400]
    fit(tmp_path, run_of(server))
    server.failures = [401] * 20
    with pytest.raises(MintError) as raised:
        fit(tmp_path, run_of(server, names=2))
    server.failures = [500] * 99
    with pytest.raises(MintError) as lost:
        fit(tmp_path, run_of(server, names=3, retries=0))
    for text in (caplog.text, str(raised.value), str(lost.value)):
        assert PATIENT not in text
        assert SECRET not in text
    assert SECRET not in (tmp_path / "teacher" / "teacher.json").read_text()


def test_log_probabilities_of_letters_rank_a_small_catalogue(
    server: FakeServer, tmp_path: Path
) -> None:
    tiles = [
        case(number, note="", image=tile(4, number), label_id="TISSUE:spotted")
        for number in range(6)
    ]
    names = list(TISSUES.names)
    letters = {name: "ABCD"[place] for place, name in enumerate(names)}

    def options(body: Body) -> Body:
        chances = {"Spotted gland": 0.6, "Dotted gland": 0.3}
        top = [{"token": letters[n], "logprob": float(np.log(p))} for n, p in chances.items()]
        top += [{"token": " " + letters["Dotted gland"], "logprob": float(np.log(0.05))}]
        top += [{"token": "The", "logprob": -3.0}]
        place = {"token": letters["Spotted gland"], "logprob": -0.5, "top_logprobs": top}
        return completion("C", logprobs={"content": [place]})

    server.reply = options
    run = run_of(server, "tissue", answer="logprobs", request={"seed": 3, "temperature": None})
    metrics = fit(tmp_path, run, tiles)
    assert metrics["validation.top1"] == 1.0
    assert answered(tmp_path, 1) == ["TISSUE:spotted", "TISSUE:dotted"]
    body = server.bodies[0]
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    assert body["seed"] == 3
    assert "temperature" not in body
    image, words = body["messages"][1]["content"]
    assert all(f"{letter}) {name}" in words["text"] for name, letter in letters.items())
    head, _, data = image["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) in {row["image"] for row in tiles}


def test_parts_of_a_case_are_shown_as_the_settings_say(server: FakeServer, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.effect_noise((40, 40), 60).save(file, "TIFF")
    parts = {"terms": ["HP:0001250"], "excluded_terms": ["HP:0000365"], "sex": "female"}
    cases = [case(0, image=file.getvalue(), **parts), case(1, **parts), case(2, note="", terms=[])]
    run = run_of(server, reads=["note", "terms", "image"])
    assert fit(tmp_path, run, cases)["cases_not_asked"] == 1
    contents = [body["messages"][1]["content"] for body in server.bodies]
    seen, plain = sorted(contents, key=lambda content: isinstance(content, str))
    assert seen[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert f"Note 1 of {PATIENT}.\n\nSex: female.\nFindings: Seizure.\nExcluded: " in plain


def test_several_workers_are_refused_before_any_work(server: FakeServer) -> None:
    run = run_of(server)
    find_fitter(run)
    resources = run.resources.model_copy(update={"teacher_workers": 2})
    with pytest.raises(ConfigError, match="concurrency"):
        find_fitter(run.model_copy(update={"resources": resources}))


def test_a_rate_limit_spaces_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("mint_ray.teachers.endpoint.client.time", clock)
    pace, turns = Pace(6000), []
    for late in (0.0, 0.004, 0.0, 0.025):  # seconds that the caller itself takes
        pace.wait()
        turns.append(clock.monotonic())
        clock.sleep(late)
    assert turns == pytest.approx([100.0, 100.01, 100.02, 100.03])
    pace.wait()
    assert clock.monotonic() == pytest.approx(100.055)  # a late caller does not wait


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
