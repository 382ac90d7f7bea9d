from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from models.errors import StemsError
from serving.addresses import networks
from serving.config import ServeConfig
from serving.http.api import create_app
from serving.http.proxies import as_sent, link, route_path

PREFIX = {"x-forwarded-prefix": "/music"}


def scope(
    path: str = "/v1/model", root: str = "", peer: str = "10.0.0.9", server: str = "10.0.0.1", **headers: str
) -> Any:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "path": path,
        "root_path": root,
        "headers": named,
        "scheme": "http",
        "client": (peer, 4000),
        "server": (server, 8000),
    }


@pytest.mark.parametrize(
    ("path", "root", "setting", "seen_path", "prefix"),
    [
        ("/v1/model", "", "", "/v1/model", ""),
        ("/v1/model", "", "/music", "/music/v1/model", "/music"),  # the proxy removed it
        ("/music/v1/model", "", "/music", "/music/v1/model", "/music"),  # the proxy left it
        ("/music", "", "/music", "/music", "/music"),
        ("/musical", "", "/music", "/music/musical", "/music"),
        ("/stems/v1/model", "/stems", "", "/stems/v1/model", "/stems"),  # a route prefix of Ray Serve
        ("/stems/v1/model", "/stems", "/music", "/music/stems/v1/model", "/music/stems"),
        ("/stems/v1/model", "/stems", "/stems", "/stems/stems/v1/model", "/stems/stems"),
        ("/", "", "/a/b", "/a/b/", "/a/b"),
    ],
)
def test_a_path_begins_with_the_prefix(path: str, root: str, setting: str, seen_path: str, prefix: str) -> None:
    found = as_sent(scope(path, root), setting, ())
    assert (found["path"], found["root_path"]) == (seen_path, prefix)
    assert prefix + route_path(found) == seen_path
    assert link(found, "/v1/jobs/x") == f"{prefix}/v1/jobs/x"


@pytest.mark.parametrize(
    ("peer", "server", "trusted", "believed"),
    [
        ("10.0.0.9", "10.0.0.1", ("10.0.0.9",), True),
        ("10.0.0.9", "10.0.0.1", ("10.0.0.0/8",), True),
        ("10.0.0.9", "10.0.0.1", ("10.0.0.8",), False),
        ("10.0.0.9", "10.0.0.1", (), False),
        ("fd00::9", "fd00::1", ("fd00::/8",), True),
        ("fd00::9", "fd00::1", ("10.0.0.0/8",), False),
        # Ray's server puts the client that a proxy on this machine names in place of the proxy.
        ("203.0.113.5", "127.0.0.1", ("127.0.0.1",), True),
        ("127.0.0.1", "10.0.0.1", ("10.0.0.0/8",), False),
        ("testclient", "testserver", ("0.0.0.0/0",), False),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, server: str, trusted: tuple[str, ...], believed: bool) -> None:
    told = scope(
        peer=peer,
        server=server,
        x_forwarded_prefix="/music/",
        x_forwarded_host="music.example",
        x_forwarded_proto="https",
    )
    found = as_sent(told, "", networks(trusted))
    assert found["root_path"] == ("/music" if believed else "")
    assert found["scheme"] == ("https" if believed else "http")
    assert (b"x-forwarded-host" in dict(found["headers"])) == believed


def test_a_proxys_prefix_takes_the_place_of_the_setting() -> None:
    assert as_sent(scope(x_forwarded_prefix="/b"), "/a", networks(["10.0.0.9"]))["root_path"] == "/b"
    assert as_sent(scope(x_forwarded_prefix="/b"), "/a", ())["root_path"] == "/a"


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "/a/../b", "https://evil.example", "music", "/a b", "/a?b", "/ü", "/a//b", "/v1"]
)
def test_what_is_no_prefix_leads_nowhere(prefix: str) -> None:
    with pytest.raises(StemsError, match="X-Forwarded-Prefix") as refused:
        as_sent(scope(x_forwarded_prefix=prefix), "", networks(["10.0.0.9"]))
    assert refused.value.code == "header"
    with pytest.raises(ValidationError, match="such as /music"):
        ServeConfig(model="m", root_path=prefix)


def test_a_proxy_that_is_no_address_is_no_setting() -> None:
    with pytest.raises(ValidationError, match=r"proxy\.example"):
        ServeConfig(model="m", trusted_proxies=("proxy.example",))


@pytest.fixture
def behind(band: Any, settings: ServeConfig) -> Any:
    with TestClient(create_app(settings.model_copy(update={"root_path": "/music"}), band)) as client:
        yield client


def test_links_and_documents_bear_the_prefix(behind: TestClient) -> None:
    """As a client follows them: by the rules for references, on the host that answered."""
    accepted = behind.post("/v1/songs", json={"seconds": 0.5})
    assert (
        accepted.headers["location"] == f"/music/v1/jobs/{accepted.json()['id']}" == accepted.json()["links"]["self"]
    )
    done = behind.get(accepted.headers["location"], headers={"Prefer": "wait=60"}).json()
    links = done["links"]
    for place in (links["self"], links["zip"], links["mix"], links["manifest"], *links["stems"].values()):
        assert place.startswith("/music/v1/")
        assert behind.get(place).status_code == 200
    events = behind.get(links["events"]).text
    assert events.count(f'"self":"/music/v1/jobs/{done["id"]}"') >= 2
    assert '"self":"/v1' not in events
    assert behind.get("/music/openapi.json").json()["servers"] == [{"url": "/music"}]
    assert "'/music/openapi.json'" in behind.get("/music/docs").text.replace('"', "'")
    for page in ("/music/", "/"):
        assert "<title>Studio" in behind.get(page).text
    assert "content-security-policy" not in behind.get("/music/docs").headers
    assert behind.get("/music/v1/model").headers["cache-control"] == "no-store"


def test_the_prefix_alone_leads_to_the_page(behind: TestClient) -> None:
    answer = behind.get("/music", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "/music/")


def test_without_a_prefix_links_have_none(local: TestClient) -> None:
    done = local.post("/v1/songs", json={"seconds": 0.5}, headers={"Accept": "application/json"}).json()
    assert done["links"]["self"] == f"/v1/jobs/{done['id']}"
    assert "servers" not in local.get("/openapi.json").json()
    ignored = local.get("/openapi.json", headers=PREFIX).json()
    assert "servers" not in ignored
