"""Functions in source code."""

from stockade_agent.source import functions_of


def test_async_functions_are_functions() -> None:
    found = functions_of("class C:\n    async def run(self): ...\n\ndef _hidden(): ...\n")
    assert [(function.name, function.public) for function in found] == [("C.run", True), ("_hidden", False)]
