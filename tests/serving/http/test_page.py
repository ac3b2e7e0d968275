"""The page in a real browser: as a user with a mouse, a keyboard, or a phone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.serving.conftest import DISEASES, NAME, wait_until
from tests.students.vision_cases import TISSUES, picture

pytestmark = pytest.mark.cluster

NOTE = "Tall stature and arachnodactyly. No seizures. 😀 Hearing impairment."


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> webdriver.Chrome:
    browser.set_window_size(1300, 900)
    browser.get(url)
    wait_until(lambda: NAME in text(browser, "models"))
    browser.get_log("browser")  # what earlier tests provoked
    return browser


def text(page: webdriver.Chrome, id_: str) -> str:
    return str(page.find_element(By.ID, id_).text)


def rows(page: webdriver.Chrome) -> list[Any]:
    return list(page.find_elements(By.CSS_SELECTOR, "#ranking > li"))


def ask(page: webdriver.Chrome, note: str) -> None:
    field = page.find_element(By.ID, "note")
    page.execute_script("arguments[0].value = arguments[1]", field, note)
    field.send_keys(" ", Keys.CONTROL, Keys.ENTER)
    wait_until(lambda: "Answered" in text(page, "status") or text(page, "problem"))


def test_a_note_is_ranked_and_what_was_read_is_marked(page: webdriver.Chrome) -> None:
    ask(page, NOTE)
    assert len(rows(page)) == len(DISEASES)
    assert rows(page)[0].find_element(By.CLASS_NAME, "name").text.split("\n")[0]
    marks = page.find_elements(By.CSS_SELECTOR, "#read-note mark")
    found = [(mark.text, mark.get_attribute("class")) for mark in marks]
    assert ("Tall stature", "present") in found
    assert ("seizures", "denied") in found
    assert ("Hearing impairment", "present") in found  # behind a character of two UTF-16 units
    assert "not calibrated" in text(page, "set-line")
    assert page.get_log("browser") == []


def test_a_phenopacket_and_terms_are_told_from_notes(page: webdriver.Chrome) -> None:
    packet = {
        "id": "invented",
        "metaData": {"phenopacketSchemaVersion": "2.0"},
        "phenotypicFeatures": [{"type": {"id": "HP:0001250"}}],
    }
    ask(page, json.dumps(packet))
    assert text(page, "read-as") == "Read as a phenopacket."
    assert text(page, "read-note") == "Seizure"
    ask(page, "HP:0000098, not HP:0001250")
    assert text(page, "read-as") == "Read as HPO terms."
    denied = page.find_element(By.CSS_SELECTOR, "#read-note mark.denied")
    assert denied.text == "Seizure"


def test_text_is_never_html(page: webdriver.Chrome) -> None:
    ask(page, "<img src=x onerror=document.title='gone'> Seizures. <b>Tall stature</b>")
    assert "<img src=x" in text(page, "read-note")
    assert page.title == "mint_ray: what fits?"
    assert not page.find_elements(By.CSS_SELECTOR, "#read-note img")


def test_problems_are_said_and_nothing_stale_is_left(page: webdriver.Chrome) -> None:
    ask(page, NOTE)
    ask(page, "HP:9999999")
    assert "unknown_terms" in text(page, "problem")
    assert not page.find_element(By.ID, "result").is_displayed()
    ask(page, "!!!")
    assert "the note has no words" in text(page, "none")
    assert rows(page) == []


def test_an_image_is_dropped_or_chosen(page: webdriver.Chrome, tmp_path: Path) -> None:
    image = tmp_path / "tile.png"
    image.write_bytes(picture(5, 64, 64))
    page.find_element(By.ID, "tab-vision").click()
    page.find_element(By.ID, "file").send_keys(str(image))
    assert page.find_element(By.ID, "preview").is_displayed()
    page.find_element(By.CSS_SELECTOR, "#panel-vision .go").click()
    wait_until(lambda: "Answered" in text(page, "status"))
    names = [row.find_element(By.CLASS_NAME, "name").text for row in rows(page)]
    assert {name.split(" ")[0] for name in names} == set(TISSUES)
    assert "H&E tile" in text(page, "measured")
    page.find_element(By.CSS_SELECTOR, "#image-examples button").click()
    wait_until(lambda: "Answered" in text(page, "status"))


def test_a_keyboard_alone_is_enough(page: webdriver.Chrome) -> None:
    tab = page.find_element(By.ID, "tab-text")
    page.execute_script("arguments[0].focus()", tab)
    tab.send_keys(Keys.ARROW_RIGHT)
    focused = page.switch_to.active_element
    assert focused.get_attribute("id") == "tab-vision"
    focused.send_keys(Keys.ARROW_LEFT)
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "note"
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('button, input, textarea, img')].filter((n) =>"
        " !(n.labels?.length || n.textContent.trim() || n.hasAttribute('alt')"
        " || n.querySelector('[alt]'))).map((n) => n.outerHTML)"
    )
    assert unnamed == []


def test_a_narrow_screen_scrolls_one_way(page: webdriver.Chrome) -> None:
    page.set_window_size(500, 900)
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        ask(page, NOTE + " Word" * 40 + " " + "x" * 300)
        width = page.execute_script("return document.documentElement.scrollWidth")
        assert width <= 360
        small = page.execute_script(
            "return [...document.querySelectorAll('button')].filter((n) => n.offsetParent &&"
            " n.getBoundingClientRect().height < 30).map((n) => n.textContent)"
        )
        assert small == []
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
