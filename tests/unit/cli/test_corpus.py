"""What `stockade cache warm` finds in a folder."""

from pathlib import Path

from stockade_cli.corpus import MOST_BYTES, texts_below


def test_python_by_functions_other_texts_whole_each_once(tmp_path: Path) -> None:
    files = {
        "a.py": b"import os\n\ndef one():\n    return 1\n\nclass C:\n    def two(self):\n        return 2\n",
        "again/a.py": b"def one():\n    return 1\n",
        "broken.py": b"def broken(:\n",
        "notes.md": b"# Notes\n",
        "empty.md": b" \n",
        "huge.txt": b"x" * (MOST_BYTES + 1),
        "latin.txt": b"caf\xe9",
        "picture.png": b"\x89PNG",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert list(texts_below(tmp_path)) == [
        "def one():\n    return 1",
        "def two(self):\n        return 2",
        "# Notes\n",
    ]
