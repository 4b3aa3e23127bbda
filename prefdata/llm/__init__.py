"""The one client for OpenAI-compatible servers: plans of requests, limits, retries, budget, batch files, a mock server."""
