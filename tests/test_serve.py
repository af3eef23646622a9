"""The service: answers, batches, limits, token; no text of a request anywhere; the page in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

import httpx

from bertinchamps.checks.serving import problems
from bertinchamps.errors import UserError
from bertinchamps.schemas import ServeConfig
from bertinchamps.serving.application import application
from bertinchamps.serving.batching import Collector
from bertinchamps.serving.figures import Figures
from bertinchamps.serving.models import Served, open_models
from bertinchamps.serving.server import bound, token_of
from support import composed, started
from untrained import LABELS, NOTES, save_masked_words, save_task

CANARY = "Zébulonnier"
HALF_A_PAIR, AS_JSON = b'{"texts": ["[MASK] \\ud800"]}', {"content-type": "application/json"}
TOKEN = "a-token-of-the-tests-0123"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Client:
    """Asks a service in this process."""

    def __init__(self, gate: Any, collector: Collector, host: str = "127.0.0.1:8000") -> None:
        self.gate, self.collector, self._host = gate, collector, host

    def __call__(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self.together([(method, path, given)])[0]

    def together(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Several requests at once."""

        async def ask() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.gate)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{self._host}") as client:
                return await asyncio.gather(
                    *(client.request(m, path, **given) for m, path, given in requests)
                )

        return asyncio.run(ask())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A tagger, a classifier and a masked language model, in directories of these names."""
    place = tmp_path_factory.mktemp("served")
    words = save_masked_words(place / "words")
    return [*(save_task(words, name, place / name) for name in ("nested", "classes")), words]


@pytest.fixture(scope="session")
def opened(models: list[Path]) -> list[Served]:
    given = composed("model=x", "runtime=eager", "runtime.threads=1", command="serve")
    given.model = [str(model) for model in models]
    assert problems(given) == []
    return open_models(given)


@pytest.fixture
def service(opened: list[Served]) -> Iterator[Callable[..., Client]]:
    """Makes a service of these models, with settings."""
    collectors: list[Collector] = []

    def make(*words: str, token: str | None = None, models: list[Served] = opened) -> Client:
        config: ServeConfig = composed(*words, command="serve")
        figures = Figures()
        wait = config.collecting.milliseconds / 1000
        collectors.append(Collector(config.collecting.texts, wait, config.limits.waiting, figures.computed))
        figures.watch(lambda: collectors[-1].waiting)
        return Client(application(config, models, collectors[-1], figures, token), collectors[-1])

    yield make
    for collector in collectors:
        collector.close()


def slow(seconds: float, seen: list[int]) -> Served:
    """A model that takes its time, whatever the texts."""

    def work(texts: Sequence[Any]) -> list[list[Any]]:
        seen.append(len(texts))
        time.sleep(seconds)
        return [[] for _ in texts]

    return Served("slow", {"ner": work})


def test_entities_have_offsets_labels_and_confidences(service: Any) -> None:
    answer = service()("POST", "/ner", json={"texts": list(NOTES)}).json()
    assert (answer["model"], len(answer["results"])) == ("nested", len(NOTES))
    found = [
        (text, each) for text, row in zip(NOTES, answer["results"], strict=True) for each in row["entities"]
    ]
    assert found
    for text, each in found:
        assert each["text"] == text[each["start"] : each["end"]]
        assert each["label"] in LABELS
        assert 0 < each["confidence"] <= 1
    assert answer["results"][3] == {"entities": []}


def test_classes_masks_and_vectors(service: Any) -> None:
    ask = service()
    (row,) = ask("POST", "/classify", json={"texts": [NOTES[0]]}).json()["results"]
    assert row["predicted"] == max(row["probabilities"], key=row["probabilities"].get)
    (row,) = ask("POST", "/fill-mask", json={"texts": ["Le [MASK] et la [MASK]."], "top": 3.0}).json()[
        "results"
    ]
    assert [len(mask) for mask in row["masks"]] == [3, 3]
    given = {"texts": [NOTES[0], NOTES[1], NOTES[0]], "normalize": True}
    answer = ask("POST", "/embed", json=given).json()
    assert answer["dimensions"] == len(answer["embeddings"][0]) == 32
    assert sum(number**2 for number in answer["embeddings"][0]) == pytest.approx(1)
    assert answer["embeddings"][0] == pytest.approx(answer["embeddings"][2], abs=1e-5)
    assert [model["can"] for model in ask("GET", "/models").json()["models"]] == [
        ["ner"], ["classify"], ["fill-mask", "embed"]
    ]  # fmt: skip


def test_requests_go_through_the_model_together_and_get_their_own_answers(service: Any) -> None:
    ask = service("collecting.milliseconds=1500", "collecting.texts=6")  # six leave as soon as all are there
    texts = [f"{NOTES[1]} {'Fièvre. ' * number}" for number in range(6)]
    together = ask.together([("POST", "/ner", {"json": {"texts": [text]}}) for text in texts])
    alone = [ask("POST", "/ner", json={"texts": [text]}).json()["results"][0] for text in texts]
    spans = [[(e["start"], e["end"], e["label"]) for e in row["entities"]] for row in alone]
    assert [
        [(e["start"], e["end"], e["label"]) for e in r.json()["results"][0]["entities"]] for r in together
    ] == spans
    figures = ask("GET", "/metrics").text
    assert 'bertinchamps_batch_requests_bucket{le="4.0"} 6.0' in figures  # the six alone
    assert 'bertinchamps_batch_requests_bucket{le="8.0"} 7.0' in figures  # and the six together
    assert 'bertinchamps_requests_total{path="/ner",status="200"} 12.0' in figures


def test_who_asks_alone_waits_for_nobody() -> None:
    collector = Collector(texts=2, wait=3600.0, room=64, observe=lambda *_: None)

    async def ask() -> Sequence[Any]:
        await collector.answers(list, [("Toux.", None), ("Fièvre.", None)], 60)  # as many as go together
        return await collector.answers(list, [("Douleur.", None)], 60)

    assert asyncio.run(ask()) == [("Douleur.", None)]
    collector.close()


def test_a_request_that_the_model_fails_on_does_not_spoil_others(service: Any) -> None:
    def work(texts: Sequence[Any]) -> list[list[Any]]:
        if any(CANARY in text for text, _ in texts):
            raise RuntimeError(f"cannot read {texts}")
        return [[] for _ in texts]

    ask = service("collecting.milliseconds=100", models=[Served("failing", {"ner": work})])
    given = [("POST", "/ner", {"json": {"texts": [text]}}) for text in ("one", CANARY, "two")]
    answers = ask.together(given)
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert answers[1].json()["error"] == "the model failed on these texts (RuntimeError)"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"texts": ["a"] * 3}, 422, "3 texts; a request has at most 2"),
        ({"texts": ["a", "b" * 41]}, 422, "text 2: 41 characters; a text has at most 40"),
        ({"texts": []}, 422, "body.texts"),
        ({"texts": [1]}, 422, "body.texts.0: Input should be a valid string"),
        ({"texts": ["a"], "model": 1}, 422, "body.model: Input should be a valid string"),
        ({"texts": ["a"], CANARY: 1}, 422, "body.…: no such key"),
        ({"texts": ["a"], "model": CANARY}, 404, "no model of that name"),
        ({"texts": ["a"], "model": "classes"}, 409, "this model answers /classify"),
        ({"texts": ["a" * 30] * 20}, 413, "at most 500 bytes"),
    ],
)
def test_what_is_too_large_or_wrong_is_refused_with_the_reason(
    service: Any, body: dict[str, Any], status: int, said: str
) -> None:
    ask = service("limits.texts=2", "limits.characters=40", "limits.body=500")
    answer = ask("POST", "/ner", json=body)
    assert answer.status_code == status
    assert said in json.dumps(answer.json(), ensure_ascii=False)


def test_paths_that_no_model_answers_say_so(service: Any, opened: list[Served]) -> None:
    ask = service(models=opened[:1])
    answer = ask("POST", "/embed", json={"texts": ["a"]})
    assert (answer.status_code, "no model of this service embeds texts" in answer.text) == (409, True)
    assert ask("GET", "/ner").status_code == 405
    assert ask("POST", "/ner", content=b"\xff", headers=AS_JSON).status_code == 422
    assert ask("GET", f"/{CANARY}").json() == {
        "error": "no such path; GET /openapi.json lists them", "problems": []
    }  # fmt: skip
    assert ask("POST", "/classify", json={"texts": ["a"], "pairs": ["b"]}).status_code == 409


def test_who_waits_too_long_or_comes_too_late_is_told(service: Any) -> None:
    seen: list[int] = []
    ask = service(
        "limits.seconds=0.3", "limits.waiting=3", "collecting.milliseconds=0", models=[slow(0.5, seen)]
    )
    given = [("POST", "/ner", {"json": {"texts": ["a"]}})] * 6
    statuses = sorted(answer.status_code for answer in ask.together(given))
    assert set(statuses) == {429, 504}
    time.sleep(0.6)
    assert sum(seen) <= 1 + 3  # what nobody waits for any more is not computed
    ask.collector.close()
    answer = ask("POST", "/ner", json={"texts": ["a"]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_token_is_asked_for_everything_that_tells_something(service: Any) -> None:
    ask = service(token=TOKEN)
    for path in ("/models", "/metrics"):
        assert ask("GET", path).status_code == 401
        assert ask("GET", path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for wrong in (TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é", ""):
        answer = ask("POST", "/ner", json={"texts": ["a"]}, headers={"authorization": wrong.encode()})
        assert answer.status_code == 401
        assert TOKEN not in answer.text
    for path in ("/", "/health", "/openapi.json"):
        assert ask("GET", path).status_code == 200


def test_the_description_is_kept(models: list[Path], tmp_path: Path) -> None:
    """Schemathesis makes requests from the description, right and wrong ones, and judges the answers by it."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")
    with running(models, tmp_path, "limits.characters=500") as (address, _):
        words = [
            "run",
            f"{address}/openapi.json",
            "--max-examples=10",
            "--checks=all",
            "--seed=0",
            "--no-color",
        ]
        command = [sys.executable, "-m", "schemathesis.cli", *words]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout


def test_other_sites_cannot_pose_as_this_machine(service: Any) -> None:
    ask = service()
    ask._host = "elsewhere.example:8000"
    assert ask("GET", "/models").status_code == 421
    answer = service()("GET", "/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "http://" not in answer.text
    assert "https://" not in answer.text


def test_addresses_that_others_reach_need_a_token(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*words: str) -> list[str]:
        return problems(composed(f"model={models[0]}", *words, command="serve"))

    (problem,) = found("host=0.0.0.0")
    assert "requests need a token" in problem
    monkeypatch.setenv("TOKEN_OF_TESTS", TOKEN)
    assert found("host=0.0.0.0", "token.variable=TOKEN_OF_TESTS") == []
    (tmp_path / "token").write_text("short\n", encoding="utf-8")
    (problem,) = found(f"token.file={tmp_path / 'token'}")
    assert "at least 16 plain characters" in problem
    assert "short" not in problem.replace(str(tmp_path), "")
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    config = composed(f"token.file={tmp_path / 'token'}", command="serve")
    assert token_of(config.token) == TOKEN
    assert found("host=nowhere", "port=70000", "limits.texts=0") == [
        "port=70000: must be from 0 to 65535",
        "limits.texts=0: must be at least 1",
        "host=nowhere: must be an address of this machine, such as 127.0.0.1 or 0.0.0.0",
    ]
    (problem,) = problems(composed(f"model={tmp_path}", command="serve"))
    assert "no model is there" in problem
    with contextlib.closing(bound("127.0.0.1", 0)) as taken:
        taken.listen()
        with pytest.raises(UserError, match="cannot be opened"):
            bound("127.0.0.1", taken.getsockname()[1])


@contextlib.contextmanager
def running(models: Sequence[Path], place: Path, *words: str) -> Iterator[tuple[str, Any]]:
    """The command in a process of its own: its address, and the process, which is ended by SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ",".join(map(str, models))
    process = started(
        "bertinchamps.serve", f"model=[{names}]", f"port={port}", "runtime=eager", *words, cwd=place
    )
    address, last = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        try:
            httpx.get(f"{address}/health")
            break
        except httpx.TransportError:
            assert process.poll() is None, process.communicate(1)[1]
            assert time.monotonic() < last
            time.sleep(0.05)
    try:
        yield address, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers() -> None:
    async def no_delay() -> bool:
        accepted = asyncio.get_running_loop().create_future()

        class Peer(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                peer = transport.get_extra_info("socket")
                accepted.set_result(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        with contextlib.closing(bound("127.0.0.1", 0)) as opened:
            server = await asyncio.get_running_loop().create_server(Peer, sock=opened)
            with socket.create_connection(opened.getsockname()):
                at_once = bool(await accepted)
            server.close()
            return at_once

    assert asyncio.run(no_delay())


def test_no_text_of_a_request_is_written_and_a_signal_ends_it_when_all_have_their_answers(
    models: list[Path], tmp_path: Path
) -> None:
    with running(models, tmp_path, "limits.body=20000") as (address, process):
        text = f"Madame {CANARY} a de la fièvre. "
        kinds = {"ner": text, "classify": text, "embed": text, "fill-mask": f"{text} [MASK]"}
        for path, own in kinds.items():
            assert httpx.post(f"{address}/{path}", json={"texts": [own]}).status_code == 200
            answers = [
                httpx.post(f"{address}/{path}", content=f'{{"texts": ["{CANARY}'.encode()),
                httpx.post(f"{address}/{path}", json={"texts": CANARY, CANARY: CANARY}),
                httpx.post(f"{address}/{path}", json={"texts": [own], "model": CANARY}),
                httpx.post(f"{address}/{path}", json={"texts": [own * 1000]}),
                httpx.post(f"{address}/{path}", content=HALF_A_PAIR, headers=AS_JSON),
                httpx.get(f"{address}/{path}/{CANARY}?{CANARY}"),
            ]  # fmt: skip
            assert all(400 <= answer.status_code < 500 for answer in answers)
            assert not any(CANARY in answer.text for answer in answers)
        assert CANARY not in httpx.get(f"{address}/metrics").text
        answers = []
        long = {"texts": [text * 100] * 5}
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{address}/ner", json=long, timeout=60))
        )
        asking.start()
        while 'requests_in_hand{path="/ner"} 1.0' not in httpx.get(f"{address}/metrics").text and not answers:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert process.wait(30) == 0
    assert [answer.status_code for answer in answers] == [200]
    out, err = process.communicate(10)
    assert "ended      all requests have their answers" in err
    assert CANARY not in out + err


PROBE = """
(() => {
  const count = (what) => document.querySelectorAll(what).length;
  const check = () => {
    if (!count(".text")) { document.getElementById("ask").click(); setTimeout(check, 300); return; }
    document.title = JSON.stringify({
      entities: count(".text .entity"), nested: count(".text .entity .entity"), rows: count("tbody tr"),
      wide: document.documentElement.scrollWidth > innerWidth,
      tabs: [...document.getElementById("tabs").children].map((tab) => tab.textContent),
    });
  };
  setTimeout(check, 300);
})();
"""


@pytest.mark.skipif(BROWSER is None, reason="needs a headless Chromium")
def test_the_page_shows_entities_inside_entities_in_a_browser(models: list[Path], tmp_path: Path) -> None:
    """The page as it is, with one script more, which presses the button and writes what it sees into the title."""
    from bertinchamps.serving import page

    assert "innerHTML" not in page.page()  # texts are never read as HTML
    with running(models, tmp_path) as (address, _):
        shown = page.page().replace("start();\n</script>", f"start();{PROBE}\n</script>")
        assert shown != page.page()
        shown = shown.replace("<head>", f'<head><base href="{address}/">')
        (tmp_path / "page.html").write_text(shown, encoding="utf-8")
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}",
            "--disable-web-security", "--virtual-time-budget=20000", "--window-size=390,800", "--dump-dom",
        ]  # fmt: skip
        words = [str(BROWSER), *options, (tmp_path / "page.html").as_uri()]
        dom = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
    title = dom[dom.index("<title>") + 7 : dom.index("</title>")]
    seen = json.loads(title.replace("&quot;", '"'))
    assert seen["entities"] == seen["rows"] > 0
    assert seen["nested"] > 0
    assert seen["tabs"] == ["Entities", "Classes", "Masks"]
    assert not seen["wide"]
