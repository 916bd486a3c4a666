"""langchain's model of the Chat Completions API, with the reasoning that compatible servers stream beside the
text."""

from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI


class ChatCompletions(ChatOpenAI):
    """`ChatOpenAI` that keeps `reasoning_content` (DeepSeek, vLLM, llama.cpp) or `reasoning` (OpenRouter,
    Ollama)."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        if converted is not None and (choices := chunk.get("choices")):
            delta = choices[0].get("delta") or {}
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            if isinstance(reasoning, str):
                converted.message.additional_kwargs["reasoning_content"] = reasoning
        return converted
