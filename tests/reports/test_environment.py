import pytest
from jinja2 import UndefinedError

from sdlora.reports.charts import DARK, LIGHT
from sdlora.reports.environment import asset, page_environment, page_style


def test_what_is_put_in_is_escaped():
    page = page_environment().from_string("<p title='{{ x }}'>{{ x }}</p>").render(x="<b>'\"&")
    assert page == "<p title='&lt;b&gt;&#39;&#34;&amp;'>&lt;b&gt;&#39;&#34;&amp;</p>"


def test_what_is_missing_is_an_error():
    with pytest.raises(UndefinedError):
        page_environment().from_string("{{ gone }}").render()


def test_the_style_holds_the_palette_for_both_themes():
    style = page_style()
    assert style.startswith(asset("page.css"))
    for colour in (*LIGHT, *DARK):
        assert colour in style
