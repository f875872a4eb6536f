"""Pages, as a browser's parser sees them."""

from html.parser import HTMLParser

import httpx2


class Page(HTMLParser):
    """The elements in order with their attributes, and the text outside of style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._pieces: list[str] = []
        self._in_style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self._pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._pieces).split())

    @property
    def skeleton(self) -> list[tuple[str, tuple[str, ...]]]:
        """The shape of the page: what a foreign text must never change."""
        return [(tag, tuple(sorted(attributes))) for tag, attributes in self.elements]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def form_targets(self) -> list[str]:
        return [str(form["action"]) for form in self.all("form")]


def page(answer: httpx2.Response) -> Page:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)
