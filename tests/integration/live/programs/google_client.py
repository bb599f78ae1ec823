# SPDX-License-Identifier: Apache-2.0
"""The `google-genai` client: content, whole and streamed."""

from __future__ import annotations

import httpx
from google import genai
from google.genai import errors, types

from . import common

_TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="helper",
            parameters=types.Schema(type="OBJECT", properties={"input": types.Schema(type="STRING")}),
        )
    ]
)


def _config(caller, **more):
    return types.GenerateContentConfig(system_instruction=f"[[{caller}]]", **more)


def client(provider):
    """Return the client as the scenario uses it."""
    retry = types.HttpRetryOptions(attempts=2, initial_delay=0.01, http_status_codes=[500])
    options = types.HttpOptions(base_url=provider.url, retry_options=retry)
    sync = genai.Client(api_key="none", http_options=options)

    def generate(caller, text):
        return sync.models.generate_content(model="gemini-2.5-flash", contents=text, config=_config(caller))

    def stream(caller, text):
        chunks = sync.models.generate_content_stream(
            model="gemini-2.5-pro", contents=text, config=_config(caller)
        )
        return [chunk.text for chunk in chunks]

    def quit_stream(caller, text):
        chunks = sync.models.generate_content_stream(
            model="gemini-2.5-flash", contents=text, config=_config(caller)
        )
        first = next(iter(chunks))
        chunks.close()
        return first

    def work(caller, tool):
        config = _config(caller, tools=[_TOOL])
        turns = [types.Content(role="user", parts=[types.Part(text="do it")])]
        said = sync.models.generate_content(model="gemini-2.5-flash", contents=turns, config=config)
        turns.append(said.candidates[0].content)
        turns += [
            types.Content(
                role="user",
                parts=[types.Part.from_function_response(name=call.name, response={"result": tool()})],
            )
            for call in said.function_calls
        ]
        return sync.models.generate_content(model="gemini-2.5-flash", contents=turns, config=config)

    async def async_generate(caller, text):
        return await sync.aio.models.generate_content(
            model="gemini-2.5-flash", contents=text, config=_config(caller)
        )

    async def async_stream(caller, text):
        chunks = await sync.aio.models.generate_content_stream(
            model="gemini-2.5-flash", contents=text, config=_config(caller)
        )
        return [chunk.text async for chunk in chunks]

    return common.Client(
        [generate, stream, generate],
        [async_generate, async_stream],
        [quit_stream],
        work,
        (errors.APIError, httpx.TransportError),
    )


def run(provider):
    """Run the scenario."""
    common.run(client(provider))
