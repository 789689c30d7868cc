import io
import socket
import threading

import numpy as np
import pytest
import service_client
from PIL import Image
from stand_in_service import TINT


def png(array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photo(rng):
    return rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def mask(rng):
    return rng.integers(0, 255, (5, 7), dtype=np.uint8)


def test_both_pictures_arrive_and_the_cutout_comes_back(service, photo, mask):
    answer = service_client.matte(png(photo), png(mask), "cutout", url=service.url + "/")
    cutout = np.asarray(Image.open(io.BytesIO(answer)))
    assert (cutout[..., :3] == TINT).all()
    np.testing.assert_array_equal(cutout[..., 3], mask)
    [request] = service.requests
    np.testing.assert_array_equal(request["photo"], photo)
    np.testing.assert_array_equal(request["mask"], mask)
    assert (request["outputs"], request["format"]) == ("cutout", "png")


def test_what_the_mask_does_not_say_is_sent(service, photo, mask):
    choice = {"label": "7", "channel": "roto.A", "invert": "true", "edges": "shift=-1"}
    service_client.matte(png(photo), png(mask), "alpha", choice=choice, url=service.url)
    assert {name: service.requests[0].get(name) for name in choice} == choice


def test_a_key_is_sent(service, photo, mask):
    service.key = "secret"
    service_client.matte(png(photo), png(mask), "alpha", url=service.url, key="secret")
    with pytest.raises(service_client.ServiceError, match="API key is missing or wrong"):
        service_client.matte(png(photo), png(mask), "alpha", url=service.url)


def test_a_busy_service_is_asked_again_when_it_says(service, photo, mask, monkeypatch):
    pauses = []
    monkeypatch.setattr(service_client.time, "sleep", pauses.append)
    service.busy = [429, 503]
    service_client.matte(png(photo), png(mask), "alpha", url=service.url)
    assert pauses == [1, 1]
    assert len(service.requests) == 1


def test_a_service_that_stays_busy_is_given_up(service, photo, mask, monkeypatch):
    pauses = []
    monkeypatch.setattr(service_client.time, "sleep", pauses.append)
    service.busy = [429] * 1000
    with pytest.raises(service_client.ServiceError, match="busy"):
        service_client.matte(png(photo), png(mask), "alpha", url=service.url)
    assert sum(pauses) == service_client.LONGEST_WAIT


def test_the_reason_of_a_refusal_is_shown(service, photo, mask):
    with pytest.raises(service_client.ServiceError, match=r"mask of shape \(4, 7\)"):
        service_client.matte(png(photo), png(mask[:4]), "alpha", url=service.url)


def test_says_how_to_start_a_service_where_none_answers(photo, mask):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(service_client.ServiceError, match="Start one with: mask2alpha serve"):
        service_client.matte(png(photo), png(mask), "alpha", url=url, timeout=5)


@pytest.mark.parametrize("url", ["", "localhost:8000", "file:///etc/passwd", "http://", "http://[::1"])
def test_other_addresses_are_refused(photo, mask, url):
    with pytest.raises(service_client.ServiceError, match="is not the address of a service"):
        service_client.matte(png(photo), png(mask), "alpha", url=url)
    with pytest.raises(service_client.ServiceError, match="is not the address of a service"):
        service_client.is_on_this_machine(url)


def test_knows_which_addresses_lead_elsewhere():
    assert service_client.is_on_this_machine("http://127.0.0.1:8000")
    assert service_client.is_on_this_machine("http://[::1]:8000")
    assert not service_client.is_on_this_machine("https://mattes.example.org")


@pytest.mark.parametrize("warnings", [["the mask is empty"], ["254 was taken for the target", "resized"], ["\u732b"]])
def test_what_the_service_says_of_the_pictures_is_handed_on(service, photo, mask, warnings):
    service.warnings = warnings
    told = []
    service_client.matte(png(photo), png(mask), "alpha", url=service.url, on_warning=told.append)
    assert told == warnings


ANSWERS = {
    "another program": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an answer that breaks off": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n\x89PNG",
    "nothing": b"",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "headers without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "a refusal in other words": b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_service_is_told_in_plain_words(photo, mask, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                while connection.recv(2**16)[-4:] != b"--\r\n":
                    pass
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(service_client.ServiceError, match=r"Start one with|answers 404"):
            service_client.matte(png(photo), png(mask), "alpha", url=url, timeout=20)
        thread.join()
