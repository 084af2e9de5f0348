"""What happened to a request that failed, in words, by the class of its error. Pure."""

from __future__ import annotations

from changeover.analysis.window import ErrorClass

ERROR_WORDS: dict[str, str] = {
    ErrorClass.STATUS_5XX: "answered 5xx",
    ErrorClass.TIMEOUT: "no answer in time",
    ErrorClass.RESET: "the connection broke",
    ErrorClass.CONNECT: "no connection, or no healthy host",
    ErrorClass.OVERFLOW: "too many requests at once (circuit breaker)",
    ErrorClass.SAVED: "the candidate failed, the baseline answered instead",
    ErrorClass.NO_ANSWER: "no answer otherwise",
}
