"""A release is made of what is committed, under a version that is said once."""

import pytest

from publish import release

CHANGELOG = "# What changed\n\n## 0.3.0\n\n- a\n\n## 0.2.0\n"


@pytest.mark.parametrize(
    ("number", "changed", "tags", "said"),
    [
        ("0.3.0", " M README.md\n", "v0.2.0\n", "not committed"),
        ("0.2.0", "", "v0.1.0\nv0.2.0\n", "released already"),
        ("0.4.0", "", "v0.2.0\n", "'## 0.4.0'"),
    ],
)
def test_what_stands_in_the_way_is_said(number, changed, tags, said):
    assert said in release.problem(number, CHANGELOG, changed, tags)


def test_nothing_else_stands_in_the_way():
    assert release.problem("0.3.0", CHANGELOG, "", "v0.2.0\n") is None


def test_the_changelog_begins_with_the_version():
    changelog = (release.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert release.problem(release.version(), changelog, "", "") is None
