"""Online evaluation of LLM products: from production logs to estimates with honest intervals."""
