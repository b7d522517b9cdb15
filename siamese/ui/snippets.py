"""The API page's examples in Python, JavaScript and for a shell, which run as they stand."""

import json
from typing import Any

# Endpoints that need what another one answered: which one, and the key of its answer.
FIRST_CALLS = {"/answer_challenge": ("/new_challenge", "challenge_id")}


def code_snippets(
    endpoint: str, info: dict[str, Any], root: str, space_id: str | None = None, api_prefix: str = "/gradio_api/"
) -> dict[str, str]:
    """Writes one call of an endpoint in each language. Takes the place of Gradio's function of the same arguments.

    Args:
        endpoint: Name with a slash before it.
        info: What Gradio knows of it; of each parameter its name and the example or the default.
        root: The app's public address.
        space_id: Name of the Space, where it is one; Gradio's clients find it by that.
        api_prefix: Path below the root.

    Returns:
        The text for "python", "javascript" and "bash".
    """
    given = {one["parameter_name"]: _with_address(_value(one), root) for one in info["parameters"]}
    first = FIRST_CALLS.get(endpoint)
    return {
        "python": _python(endpoint, given, first, space_id or root),
        "javascript": _javascript(endpoint, given, first, space_id or root),
        "bash": _bash(endpoint, given, first, f"{root.rstrip('/')}{api_prefix}"),
    }


def _value(parameter: dict[str, Any]) -> Any:
    return parameter["parameter_default"] if parameter["parameter_has_default"] else parameter["example_input"]


def _with_address(value: Any, root: str) -> Any:
    """The value with whole addresses of the app's example images instead of their paths."""
    if isinstance(value, list):
        return [_with_address(one, root) for one in value]
    if isinstance(value, dict):
        url = value["url"]
        return {"path": url if url.startswith("http") else f"{root.rstrip('/')}{url}", "meta": value["meta"]}
    return value


def _code(value: Any) -> str:
    """A value in Python or JavaScript, for which strings, numbers and lists are written alike."""
    if isinstance(value, dict):
        return f"handle_file({json.dumps(value['path'])})"
    if isinstance(value, list):
        return f"[{', '.join(map(_code, value))}]"
    return json.dumps(value)


def _imported(code: dict[str, str]) -> str:
    return "Client, handle_file" if any("handle_file" in one for one in code.values()) else "Client"


def _python(endpoint: str, given: dict[str, Any], first: tuple[str, str] | None, source: str) -> str:
    code = {name: _code(value) for name, value in given.items()}
    lines = [f"from gradio_client import {_imported(code)}", "", f"client = Client({json.dumps(source)})"]
    if first is not None:
        lines.append(f'before = client.predict(api_name="{first[0]}")')
        code[first[1]] = f'before["{first[1]}"]'
    arguments = [f"    {name}={value}," for name, value in code.items()]
    return "\n".join(
        [*lines, "result = client.predict(", *arguments, f'    api_name="{endpoint}",', ")", "print(result)"]
    )


def _javascript(endpoint: str, given: dict[str, Any], first: tuple[str, str] | None, source: str) -> str:
    code = {name: _code(value) for name, value in given.items()}
    lines = [
        f'import {{ {_imported(code)} }} from "@gradio/client";',
        "",
        f"const client = await Client.connect({json.dumps(source)});",
    ]
    if first is not None:
        lines.append(f'const before = await client.predict("{first[0]}", {{}});')
        code[first[1]] = f"before.data[0].{first[1]}"
    arguments = [f"  {name}: {value}," for name, value in code.items()]
    call = [f'const result = await client.predict("{endpoint}", {{', *arguments, "});"]
    return "\n".join([*lines, *call, "console.log(result.data[0]);"])


def _bash(endpoint: str, given: dict[str, Any], first: tuple[str, str] | None, api: str) -> str:
    def call(name: str, body: str) -> list[str]:
        """Asks, and reads the answer by the name that the first request gave the call."""
        return [
            f"EVENT=$(curl -s {api}call/v2{name} -H 'Content-Type: application/json' \\",
            f"  -d '{body}' | cut -d '\"' -f 4)",
            f"curl -sN {api}call{name}/$EVENT",
        ]

    body = json.dumps(given)
    if first is None:
        return "\n".join(call(endpoint, body))
    before = call(first[0], "{}")
    before[-1] = f"""VALUE=$({before[-1]} | sed -n 's/.*"{first[1]}": *"\\([^"]*\\)".*/\\1/p')"""
    body = json.dumps(given | {first[1]: "VALUE"}).replace('"VALUE"', "\"'$VALUE'\"")
    return "\n".join([*before, *call(endpoint, body)])
