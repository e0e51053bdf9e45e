"""An SVG file as an element inside HTML: several of them on one page do not disturb each other."""

import re
import xml.etree.ElementTree as ElementTree

SPACE, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def inline_svg(text, prefix, label):
    """text: of an SVG file → of an element that is well-formed as HTML and as XML.

    prefix: comes before every id and every reference to one. label: what readers who do not see the picture are told.
    Style sheets, which would reach the whole page, give way to attributes of the picture. Raises ValueError for what is no SVG.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"text: is no XML ({error})") from None
    if root.tag != f"{SPACE}svg":
        raise ValueError(f"text: expected an svg element, got {root.tag}")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SPACE}metadata", f"{SPACE}style"):
                parent.remove(child)
    seen = set()
    for element in root.iter():
        if element.get("id") in seen:
            del element.attrib["id"]  # matplotlib names images by what they show: two that are alike bear one name
        seen.add(element.get("id", ""))
        element.tag = element.tag.removeprefix(SPACE)
        attributes = {key.removeprefix(LINK): own(key, value, prefix) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(attributes)
    style = "stroke-linejoin: round; stroke-linecap: butt"  # what the style sheet of matplotlib's files says of everything
    root.attrib.update({"xmlns": SPACE[1:-1], "role": "img", "aria-label": label, "style": style})
    return ElementTree.tostring(root, encoding="unicode")


def own(key, value, prefix):
    """An attribute's value with its ids, and those it refers to, made the picture's own; an image's bytes in one piece."""
    if key == "id":
        return f"{prefix}-{value}"
    if key.removeprefix(LINK) == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    if value.startswith("data:"):
        return "".join(value.split())
    return re.sub(r"url\(#", f"url(#{prefix}-", value)
