"""A new champion takes over while requests come in."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests

from mint_ray.students.student_folder import student_files
from tests.serving.conftest import NAME, Running, models, wait_until

pytestmark = pytest.mark.cluster


def test_a_new_champion_takes_over_without_a_failed_request(service: Running) -> None:
    done = Event()

    def keep_asking() -> list[tuple[int, str]]:
        found = []
        while not done.is_set():
            response = requests.post(
                f"{service.url}/v1/diagnose", json={"note": "Tall stature."}, timeout=60
            )
            version = response.json().get("model", {}).get("version", "none")
            found.append((response.status_code, version))
        return found

    registry, second = service.registry, service.second
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(keep_asking) for _ in range(2)]
        try:
            made = registry.register(NAME, "calibrate-2", second, student_files(second), {})
            registry.promote(made)
            wait_until(lambda: models(service.url)[0]["version"] == "2")
        finally:
            done.set()
        answers = [answer for one in asking for answer in one.result()]
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} <= {"1", "2"}
    later = requests.post(
        f"{service.url}/v1/diagnose", json={"note": "Tall stature."}, timeout=60
    ).json()
    assert later["model"]["version"] == "2"
    registry.roll_back(NAME)
    wait_until(lambda: models(service.url)[0]["version"] == "1")
