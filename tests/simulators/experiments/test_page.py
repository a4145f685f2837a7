"""The report: self-contained, escaped, well formed, and plain about what is emulated and what must not be quoted."""

from html.parser import HTMLParser

import pytest

from suture_simulators.experiments.page import Facts, Figure, Provenance, Section, Table, Text, page, write

SVG = '<svg role="img" aria-label="a drawing"><path d="M0 0L1 1"/></svg>'
EVIL = "<script>alert('x')</script>"


class Reader(HTMLParser):
    """Every element with its attributes, the text, and whether elements close in the order they opened."""

    VOID = ("meta", "br", "img", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def provenance(**changes) -> Provenance:
    return Provenance(**{"emulated": ["The link is a relay."], "points": 4, "facts": {"kernel": "6.1"}} | changes)


def read(*blocks, pairs=False, **changes) -> Reader:
    section = Section(title="Rates", blocks=blocks, pairs=pairs)
    return Reader(page(title="Title", subtitle="Below", provenance=provenance(**changes), sections=[section]))


def test_a_page_is_well_formed_and_refers_to_nothing_outside():
    table = Table(head=["arm", "s"], rows=[["split", "0.3"]], caption="times")
    reader = read(Text(text="words"), Figure(svg=SVG, caption="seen"), table, Facts(facts={"a": "b"}, folded="more"))
    assert not reader.open
    tags = [tag for tag, _ in reader.found]
    assert tags.count("html") == tags.count("h1") == tags.count("main") == 1
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(tags)
    for _, attributes in reader.found:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert dict(reader.found)["html"]["lang"] == "en"


def test_everything_but_drawings_is_escaped():
    blocks = [
        Text(text=EVIL),
        Figure(svg=SVG, caption=EVIL),
        Table(head=[EVIL], rows=[[EVIL]], caption=EVIL),
        Facts(facts={EVIL: EVIL}, folded=EVIL),
    ]
    told = provenance(emulated=[EVIL], real=[EVIL], invalid=[EVIL], incomplete=EVIL, facts={EVIL: EVIL})
    text = page(title=EVIL, subtitle=EVIL, provenance=told, sections=[Section(title=EVIL, blocks=blocks)])
    assert "<script" not in text
    # The title stands twice, in the tab and on the page; the section's in the list of sections too.
    assert text.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") == 2 + 1 + 2 + 2 + 3 + 3 + 4 + 2


def test_what_is_emulated_stands_before_the_first_figure():
    reader = read(Figure(svg=SVG))
    tags = [(tag, attributes.get("class")) for tag, attributes in reader.found]
    assert tags.index(("div", "emulated")) < tags.index(("svg", None))
    assert "Emulated or simulated: The link is a relay." in reader.text


def test_invalid_points_stand_in_a_box_that_screen_readers_announce():
    reader = read(invalid=["unet/pi: the relay was late"])
    alarms = [attributes for tag, attributes in reader.found if attributes.get("role") == "alert"]
    assert len(alarms) == 1
    assert "Invalid points: 1 of 4" in reader.text
    assert "unet/pi: the relay was late" in reader.text
    assert "are valid" not in reader.text


def test_a_run_without_invalid_points_says_so_and_a_partial_one_says_that():
    assert "All 4 measured points are valid." in read().text
    assert "Not complete. 2 points are missing" in read(incomplete="2 points are missing").text


def test_nothing_emulated_is_said_and_not_left_out():
    assert "Emulated or simulated: nothing." in read(emulated=[]).text


def test_columns_of_numbers_are_set_flush_right():
    rows = [["split", "0.3 ms", "–"], ["edge", "≤ 2", "×1.1"]]
    reader = read(Table(head=["arm", "time", "ratio"], rows=rows))
    cells = [attributes.get("class") for tag, attributes in reader.found if tag == "td"]
    assert cells == [None, "n", "n"] * 2


def test_a_row_that_does_not_fit_the_head_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        read(Table(head=["a", "b"], rows=[["1"]]))


def test_figures_that_follow_each_other_stand_side_by_side_where_asked():
    reader = read(Figure(svg=SVG), Figure(svg=SVG), Text(text="x"), Figure(svg=SVG), pairs=True)
    assert [a.get("class") for _, a in reader.found].count("pair") == 2
    assert not reader.open


def test_the_list_of_sections_leads_to_them():
    reader = read()
    ids = {attributes.get("id") for _, attributes in reader.found}
    links = [a["href"] for tag, a in reader.found if tag == "a"]
    assert links == ["#s1"]
    assert "s1" in ids


def test_the_list_of_sections_can_break_between_any_two():
    sections = [Section(title=name, blocks=[]) for name in ("One", "Two")]
    assert "</a> <a" in page(title="t", subtitle="", provenance=provenance(), sections=sections)


def test_the_page_is_written_whole(tmp_path):
    path = tmp_path / "report.html"
    write(path, title="Title", subtitle="", provenance=provenance(), sections=[])
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
