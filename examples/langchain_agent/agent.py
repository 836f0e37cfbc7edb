"""A LangChain agent whose tools run in a sandbox.

    .venv/bin/python examples/langchain_agent/agent.py

So that it runs offline, its model is a script: it writes a program with a mistake, reads the error, and corrects it.
Put a chat model of your own in its place; the loop is the same.
"""

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from stockade_agent import Stockade
from stockade_agent.frameworks.langchain import sandbox_tools

QUESTION = "How many primes are there below 1000?"

WRONG = "print(sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, 1000))"
RIGHT = "print(sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, 1000)))"


def scripted() -> BaseChatModel:
    """A model that says its lines."""

    def call(number: int, code: str) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "run_python", "args": {"code": code}, "id": f"call-{number}"}])

    return GenericFakeChatModel(messages=iter([call(1, WRONG), call(2, RIGHT), AIMessage("There are 168.")]))


def answer(model: BaseChatModel, question: str) -> list[AnyMessage]:
    """The conversation until the model calls no more tools."""
    messages: list[AnyMessage] = [HumanMessage(question)]
    with Stockade.connect() as stockade, stockade.sandbox("chain-agent", agent_type="test-generator") as sandbox:
        tools = {tool.name: tool for tool in sandbox_tools(sandbox)}
        while True:
            said = model.invoke(messages)
            messages.append(said)
            if not said.tool_calls:
                return messages
            messages += [tools[call["name"]].invoke(call) for call in said.tool_calls]


def main() -> None:
    for message in answer(scripted(), QUESTION):
        calls = [call["args"] for call in getattr(message, "tool_calls", [])]
        print(f"{message.type:5} {message.content or calls}")


if __name__ == "__main__":
    main()
