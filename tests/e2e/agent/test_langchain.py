"""The tools and embeddings for LangChain, called as a LangChain agent calls them."""

from collections.abc import Iterator

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from stockade_agent import Sandbox, Stockade
from stockade_agent.frameworks.langchain import KEPT_CHARACTERS, sandbox_tools

from support.stack import REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


@pytest.fixture(scope="module")
def sandbox(stack: Stack) -> Iterator[Sandbox]:
    with Stockade.connect(stack.run_dir) as stockade, stockade.sandbox("chain-1", agent_type="test-generator") as made:
        yield made


@pytest.fixture
def tools(sandbox: Sandbox) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in sandbox_tools(sandbox, seconds=10)}


def test_a_model_calls_tools_until_it_answers(tools: dict[str, BaseTool]) -> None:
    call = {"name": "run_python", "args": {"code": "print(6 * 7)"}, "id": "1", "type": "tool_call"}
    model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("It is 42.")]))
    messages = [HumanMessage("What is 6 * 7?")]
    while (answer := model.invoke(messages)).tool_calls:
        told = [tools[each["name"]].invoke(each) for each in answer.tool_calls]
        messages += [answer, *told]
    assert answer.content == "It is 42."
    assert [m.content for m in messages if isinstance(m, ToolMessage)] == ["42\n"]


def test_files_stay(tools: dict[str, BaseTool]) -> None:
    tools["write_file"].invoke({"path": "/workspace/a/b.txt", "content": "one"})
    assert tools["read_file"].invoke({"path": "/workspace/a/b.txt"}) == "one"
    assert tools["run_shell"].invoke({"command": "cat a/b.txt"}) == "one"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("run_shell", {"command": "echo no; exit 3"}, "code 3]"),
        ("read_file", {"path": "/nowhere"}, "[FILE_NOT_FOUND]"),
        ("write_file", {"path": "relative", "content": ""}, "path"),
        ("run_python", {"code": f"import urllib.request; urllib.request.urlopen('http://{REFUSED}/')"}, "403"),
        ("run_python", {"code": f"print('x' * {KEPT_CHARACTERS + 9})"}, "10 characters are left out"),
    ],
)
def test_what_goes_wrong_is_read_by_the_model(
    tools: dict[str, BaseTool], tool: str, arguments: dict[str, str], said: str
) -> None:
    assert said in tools[tool].invoke(arguments)
