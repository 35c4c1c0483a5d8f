"""Request and response bodies as OpenAI's API has them."""

from datetime import UTC, datetime

from tests.sources.foreign import one

REQUEST = {
    "model": "gpt-x",
    "temperature": 0.2,
    "user": "u1",
    "metadata": {"session_id": "s1"},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "tool", "content": "page 3"},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ],
}
RESPONSE = {
    "id": "chatcmpl-1",
    "created": 1763900000,
    "model": "gpt-x-0301",
    "choices": [{"message": {"role": "assistant", "content": "Now this."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3},
}


class TestPairs:
    def test_request_and_response_bodies_become_one_response(self, file):
        beside = {"latency_ms": 812, "reference": "Now that."}
        (response,) = one(file, {"request": REQUEST, "response": RESPONSE, **beside})
        assert response.reference == "Now that."
        assert (response.query, response.response) == ("And now?", "Now this.")
        assert (response.conversation, response.context) == ("User: Hi\nAssistant: Hello", "page 3")
        assert (response.response_id, response.user_id, response.session_id) == ("chatcmpl-1", "u1", "s1")
        assert (response.model, response.input_tokens, response.output_tokens) == ("gpt-x-0301", 11, 3)
        assert (response.finish_reason, response.latency_ms) == ("stop", 812.0)
        assert response.occurred_at == datetime(2025, 11, 23, 12, 13, 20, tzinfo=UTC)
        assert response.attributes["system"] == "Be brief." and response.attributes["request"]["temperature"] == 0.2

    def test_batch_files_and_the_newer_api_are_understood(self, file):
        output = [{"type": "message", "content": [{"type": "output_text", "text": "Four."}]}]
        newer = {"id": "resp_1", "created_at": 1763900000, "output": output, "usage": {"input_tokens": 5}}
        batch, new = one(
            file,
            {"request": {"body": REQUEST}, "response": {"status_code": 200, "body": RESPONSE}},
            {"request": {"input": "2+2?", "instructions": "Count."}, "response": newer},
        )
        assert batch.response == "Now this."
        assert (new.query, new.response, new.input_tokens) == ("2+2?", "Four.", 5)

    def test_a_failed_call_is_a_response_with_its_error(self, file):
        row = {
            "request": REQUEST,
            "response": None,
            "error": {"message": "rate limit"},
            "time": "2026-11-20T00:00:00Z",
        }
        (response,) = one(file, row)
        assert (response.response, response.error) == ("", "rate limit")

    def test_a_rating_beside_the_bodies_becomes_an_action(self, file):
        _, done = one(file, {"request": REQUEST, "response": RESPONSE, "rating": 2})
        assert (done.action, done.value) == ("star_rating", 2.0)
